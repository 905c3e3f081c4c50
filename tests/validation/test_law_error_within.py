"""Errors of a law within the range of its runs: found where they were planted, and carried into the optimum."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from scipy.optimize import least_squares

from bayes_atlas import bayes_action, optimum
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.law_error_within import MOST, REACH, Misfit, add_law_error, with_misfit
from benchmarks.misfit import BUDGET, LAW, PARAMS, SIGMA, TOKENS, study

STUDIES = 40


def by_hand(like, draws=400, **sites):
    """A posterior of en and sw whose draws are the law within a little; `sites` replace some."""
    rng = np.random.default_rng(1)
    near = {name: value * np.exp(1e-4 * rng.standard_normal((1, draws, 2))) for name, value in LAW.items()}
    near |= {"sigma": np.full((1, draws, 2), SIGMA)} | sites
    arrays = {name: (("chain", "draw", "language"), values) for name, values in near.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, {"language": ["en", "sw"]})})
    reference = {"params": PARAMS, "tokens": TOKENS}
    info = like.info.model_copy(update={"references": {"en": reference, "sw": reference}})
    return replace(like, draws=tree, info=info)


def fitted_to(like, runs, draws=400):
    """A posterior of least squares and its curvature: draws of a law that has taken up what error it could."""
    rng, start, arrays = np.random.default_rng(1), np.log(list(LAW.values())), {}
    for language in ("en", "sw"):
        own = runs.isel(row=runs["language"].to_numpy() == language)
        params, tokens, observed = own["params"].to_numpy(), own["tokens"].to_numpy(), np.log(own["loss"].to_numpy())

        def residuals(logs, params=params, tokens=tokens, observed=observed):
            named = dict(zip(LAW, np.exp(logs), strict=True))
            missed = np.log(chinchilla.loss(params / PARAMS, tokens / TOKENS, **named)) - observed
            return np.append(missed, 1e-3 * (logs - start))  # as a prior within a few tenths

        found = least_squares(residuals, start)
        sigma = np.sqrt((found.fun[: len(observed)] ** 2).sum() / (len(observed) - len(LAW)))
        covariance = np.linalg.inv(found.jac.T @ found.jac) * sigma**2
        for name, logs in zip(LAW, rng.multivariate_normal(found.x, covariance, draws).T, strict=True):
            arrays.setdefault(name, []).append(np.exp(logs))
        arrays.setdefault("sigma", []).append(np.full(draws, sigma))
    return by_hand(like, draws, **{name: np.stack(values, axis=-1)[None] for name, values in arrays.items()})


@pytest.mark.parametrize("common", [False, True])
def test_intervals_of_optima_hold_the_planted_best(tiny_posterior, common):
    """80 optima of 40 studies: the count of those inside is within the .9999 interval of its binomial.

    Taken as it is, the law's interval holds fewer than a tenth of them.
    """
    posterior, inside, naive = by_hand(tiny_posterior), 0, 0
    for seed in range(STUDIES):
        runs, best = study(seed, size=0.01, common=common)
        misfit = Misfit.of(posterior, runs)
        for language, truth in best.items():
            plain = optimum(posterior, compute=BUDGET, language=language)
            for decision in (plain, with_misfit(plain, misfit, seed)):
                lower, upper = np.quantile(np.log(decision.params), [0.05, 0.95])
                held = lower <= truth <= upper
                inside, naive = inside + (held and decision is not plain), naive + (held and decision is plain)
    # Two optima of a common error are one piece of luck.
    weight = 2 if common else 1
    least, most = scipy.stats.binom.interval(0.9999, 2 * STUDIES // weight, 0.9)
    assert least <= inside / weight <= most
    assert naive < STUDIES / 5


@pytest.mark.slow
def test_intervals_hold_where_the_fit_has_taken_up_what_error_it_could(tiny_posterior):
    """40 optima of 20 studies, as above; with fewer runs, or smoother errors, fewer are: see `benchmarks.misfit`."""
    inside = 0
    for seed in range(STUDIES // 2):
        runs, best = study(seed, size=0.01)
        posterior = fitted_to(tiny_posterior, runs)
        misfit = Misfit.of(posterior, runs)
        for language, truth in best.items():
            corrected = with_misfit(optimum(posterior, compute=BUDGET, language=language), misfit, seed)
            lower, upper = np.quantile(np.log(corrected.params), [0.05, 0.95])
            inside += lower <= truth <= upper
    least, most = scipy.stats.binom.interval(0.9999, STUDIES, 0.9)
    assert least <= inside <= most


def test_a_law_that_holds_is_hardly_doubted(tiny_posterior):
    """Runs of the law itself: what is taken for its error is below the noise, and the optimum moves by little."""
    posterior = by_hand(tiny_posterior)
    runs, _ = study(0, size=0.0)
    misfit = Misfit.of(posterior, runs)
    assert misfit.typical < SIGMA / 2
    plain = optimum(posterior, compute=BUDGET, language="en")
    doubted = with_misfit(plain, misfit)
    assert np.median(doubted.params) == pytest.approx(np.median(plain.params), rel=0.1)
    assert (doubted.loss / plain.loss).std() < SIGMA


def test_size_and_what_is_shared_are_those_planted(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    for common in (True, False):
        misfit = Misfit.of(posterior, study(3, size=0.01, common=common)[0])
        assert 0.004 < misfit.typical < 0.025
        assert 0.004 < misfit.size < 0.025
        shared = sum(value * each.shared for each, value in misfit.probability.items())
        assert shared > 0.8 if common else shared < 0.2


def test_what_the_parameters_could_have_taken_up_is_no_error(tiny_posterior):
    """Runs all off by 3 %: of a law whose level is not known no more than a tenth of that is error, else most of it."""
    spread = np.exp(0.05 * np.random.default_rng(2).standard_normal((1, 400, 2)))
    unsure = {name: LAW[name] * spread for name in ("E", "A", "B")}
    runs, _ = study(0, size=0.0)
    higher = runs.assign(loss=runs["loss"] * 1.03)
    assert Misfit.of(by_hand(tiny_posterior, **unsure), higher).typical < 0.003
    sure = {name: np.full((1, 400, 2), value) for name, value in LAW.items()}
    assert Misfit.of(by_hand(tiny_posterior, **sure), higher).typical > 0.01


def test_an_error_of_all_languages_is_no_luck_of_each(tiny_posterior):
    """Two languages that count alike: their common error remains in the mean loss, their own errors average out."""
    spread = {}
    for common in (True, False):
        posterior = by_hand(tiny_posterior)
        misfit = Misfit.of(posterior, study(3, size=0.01, common=common)[0])
        far = optimum(posterior, compute=1e3 * BUDGET, weights={"en": 1, "sw": 1})  # where no run says what it is
        spread[common] = np.log(with_misfit(far, misfit).loss).std() / misfit.size
    assert spread[True] > 1.15 * spread[False]


def test_limits_are_kept(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    misfit = Misfit.of(posterior, study(0, size=0.01)[0])
    limited = with_misfit(optimum(posterior, compute=BUDGET, language="en", max_params=4e8), misfit)
    assert limited.params.max() <= 4e8 * (1 + 1e-9)
    assert limited.params * limited.tokens * 6 == pytest.approx(BUDGET)
    most = with_misfit(optimum(posterior, compute=BUDGET, language="en", max_tokens=1e9), misfit)
    assert most.tokens.max() <= 1e9 * (1 + 1e-9)


def test_the_same_seed_gives_the_same_optimum(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    misfit, plain = Misfit.of(posterior, study(0, size=0.01)[0]), optimum(posterior, compute=BUDGET, language="en")
    one, same, other = (with_misfit(plain, misfit, seed).tokens for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


def test_far_from_all_runs_an_optimum_at_an_end_is_said(tiny_posterior):
    """Wrong by a tenth where nothing was run: the loss is flat enough for the best to be anywhere."""
    posterior = by_hand(tiny_posterior)
    misfit = Misfit.of(posterior, study(0, size=0.1, length=0.5)[0])
    plain = optimum(posterior, compute=1e26, language="en")
    doubted = with_misfit(plain, misfit)
    assert any("at an end of what was looked at" in note for note in doubted.notes)
    assert np.abs(np.log(doubted.tokens / np.median(plain.tokens))).max() <= REACH + 1e-9


def test_many_runs_are_thinned_and_other_languages_left_out_aloud(tiny_posterior):
    runs, _ = study(0, size=0.0, runs=MOST // 2 + 10)
    posterior = by_hand(tiny_posterior)
    thinned = Misfit.of(posterior, runs)
    assert any(f"from {MOST} of {2 * (MOST // 2 + 10)} runs" in note for note in thinned.notes)
    assert set(thinned.language) == {"en", "sw"}
    sizes = np.log(runs["params"].to_numpy())
    assert thinned.place[:, 0].min() < sizes.min() + 0.1 and thinned.place[:, 0].max() > sizes.max() - 0.1
    more, _ = study(1, size=0.0, runs=10)
    foreign = more.assign(language=more["language"].str.replace("sw", "xx"))
    misfit = Misfit.of(posterior, foreign)
    assert len(misfit.language) == 10 and "10 rows are of other languages" in misfit.notes[0]
    with pytest.raises(InputError, match="is of a language that"):
        Misfit.of(posterior, foreign.isel(row=foreign["language"].to_numpy() == "xx"))


def test_no_more_runs_than_parameters_are_refused(tiny_posterior):
    runs, _ = study(0, size=0.0, runs=1)
    with pytest.raises(InputError, match="2 runs are too few to tell errors of the law from its parameters"):
        Misfit.of(by_hand(tiny_posterior), runs)


def test_another_posterior_is_refused(tiny_posterior):
    runs, _ = study(0, size=0.0)
    posterior = by_hand(tiny_posterior)
    misfit = Misfit.of(posterior, runs)
    few = optimum(by_hand(tiny_posterior, draws=50), compute=BUDGET, language="en")
    with pytest.raises(InputError, match=r"\(400 draws\), and this posterior \(50 draws\) decides"):
        with_misfit(few, misfit)
    other = replace(posterior, info=posterior.info.model_copy(update={"title": "Another"}))
    with pytest.raises(InputError, match="learn it with the posterior that decides"):
        with_misfit(optimum(other, compute=BUDGET, language="en"), misfit)


def test_tokens_that_were_counted_otherwise_are_refused(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    runs, _ = study(0, size=0.0)
    fitted = posterior.info.runs.model_copy(update={"sha256": runs.attrs["sha256"], "ranges": {"tokens": (1e8, 1e15)}})
    posterior = replace(posterior, info=posterior.info.model_copy(update={"runs": fitted}))
    with pytest.raises(InputError, match="was fitted to up to 1e\\+15; decide without the law's error if all tokens"):
        Misfit.of(posterior, runs)


def test_what_a_corrected_plan_loses_is_not_counted_by_the_law(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    plain = optimum(posterior, compute=BUDGET, language="en")
    corrected = with_misfit(plain, Misfit.of(posterior, study(0, size=0.01)[0]))
    assert bayes_action(plain).tokens > 0
    with pytest.raises(InputError, match="act on the optimum without the correction"):
        bayes_action(corrected)


def test_an_optimum_with_the_error_of_its_law_beside_it(tiny_posterior):
    posterior = replace(by_hand(tiny_posterior), name="<mine>")
    misfit, plain = Misfit.of(posterior, study(0, size=0.01)[0]), optimum(posterior, compute=BUDGET, language="en")
    wider, found = with_misfit(plain, misfit, 3), add_law_error(plain, misfit, 3)
    np.testing.assert_array_equal(found.params, plain.params)
    np.testing.assert_array_equal(found.with_law_error.params, wider.params)
    assert found.notes == [*wider.notes, "the plans to act on take the law to hold"]
    document = found.to_dict(0.8)
    assert document == plain.to_dict(0.8) | {"with_law_error": wider.summary(0.8), "notes": found.notes}
    json.dumps(document, allow_nan=False)
    lines = repr(found).splitlines()
    assert lines[1].split("  ")[-2:] == ["with the law's error", "its interval"]
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    corrected = wider.to_dict(0.8)
    assert corrected["action"] is corrected["cautious_action"] is None
    assert corrected["params"] == wider.summary(0.8)["params"]
