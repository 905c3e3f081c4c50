"""Errors of a law within the range of its runs: found where they were planted, and carried into the optimum."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from scipy.spatial.distance import cdist

from bayes_atlas import optimum
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.residuals import NU
from bayes_atlas.runs import runs_from_frame
from bayes_atlas.validation.misfit import MOST, REACH, Misfit, with_misfit

LAW = {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.3, "beta": 0.3}
PARAMS, TOKENS = 1e9, 1e10  # of the reference
SIGMA = 0.002
BUDGET = 6e19
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


def law(params, tokens):
    return np.log(chinchilla.loss(params / PARAMS, tokens / TOKENS, **LAW))


def study(seed, size, length=1.0, noise=SIGMA, common=False, runs=60):
    """Runs of en and sw whose law is wrong, and the best log params of each on a fine grid of the budget line."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(1e8), np.log(1e10), 2 * runs))
    compute = 10 ** rng.uniform(18.5, 20.5, 2 * runs)
    tokens = compute / 6 / params
    line = np.linspace(np.log(2e8), np.log(8e9), 161)
    on_line = np.stack([line, np.log(BUDGET / 6) - line], axis=1)
    place = np.concatenate([np.log([params, tokens]).T, on_line])
    covariance = np.exp(-0.5 * cdist(place, place, "sqeuclidean") / length**2)
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(place)))
    errors = [size * root @ rng.standard_normal(len(place)) for _ in range(2)]
    errors = [errors[0], errors[0]] if common else errors
    language = np.repeat(["en", "sw"], runs)
    error = np.where(language == "en", errors[0][: 2 * runs], errors[1][: 2 * runs])
    loss = np.exp(law(params, tokens) + error + noise * rng.standard_t(NU, 2 * runs))
    columns = {"run": np.arange(2 * runs).astype(str), "language": language, "params": params, "tokens": tokens}
    on_the_line = law(np.exp(line), np.exp(on_line[:, 1]))
    best = [line[(on_the_line + each[2 * runs :]).argmin()] for each in errors]
    return runs_from_frame(pd.DataFrame(columns | {"loss": loss})), dict(zip(("en", "sw"), best, strict=True))


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


def test_size_and_kind_are_those_planted(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    for common, kind in ((True, "common"), (False, "own")):
        misfit = Misfit.of(posterior, study(3, size=0.01, common=common)[0])
        assert 0.004 < misfit.typical < 0.025
        assert sum(value for each, value in misfit.probability.items() if each[0] == kind) > 0.95


def test_what_the_parameters_could_have_taken_up_is_no_error(tiny_posterior):
    """A posterior that does not know the level of the loss: runs all off by one factor show no error of the law."""
    spread = np.exp(0.05 * np.random.default_rng(2).standard_normal((1, 400, 2)))
    unsure = {name: LAW[name] * spread for name in ("E", "A", "B")}
    runs, _ = study(0, size=0.0)
    higher = runs.assign(loss=runs["loss"] * 1.03)
    assert Misfit.of(by_hand(tiny_posterior, **unsure), higher).typical < SIGMA
    sure = {name: np.full((1, 400, 2), value) for name, value in LAW.items()}
    assert Misfit.of(by_hand(tiny_posterior, **sure), higher).typical > 0.01


def test_an_error_of_all_languages_is_no_luck_of_each(tiny_posterior):
    """Two languages that count alike: their common error remains in the mean loss, their own errors average out."""
    spread = {}
    for common in (True, False):
        posterior = by_hand(tiny_posterior)
        misfit = Misfit.of(posterior, study(3, size=0.01, common=common)[0])
        far = optimum(posterior, compute=1e3 * BUDGET, weights={"en": 1, "sw": 1})  # where no run says what it is
        spread[common] = (
            np.log(with_misfit(far, misfit).loss).std()
            / misfit.errors(
                np.array(["en"]), np.log([[far.params[0], far.tokens[0] / 2]]), np.random.default_rng(0)
            ).std()
        )
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
    assert any(f"from the {MOST} runs" in note for note in Misfit.of(posterior, runs).notes)
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
    plain = optimum(by_hand(tiny_posterior, draws=50), compute=BUDGET, language="en")
    with pytest.raises(InputError, match="400 draws, and this posterior has 50"):
        with_misfit(plain, Misfit.of(by_hand(tiny_posterior), runs))
