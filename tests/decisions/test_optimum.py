"""The compute-optimal plan of every draw: closed forms, first-order conditions, limits on data, notes and errors."""

import dataclasses
import re

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.decisions.bayes_action import bayes_action, cautious_action
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.summary import summarise
from bayes_atlas.errors import InputError
from bayes_atlas.folder.info import Check
from bayes_atlas.laws import get_law
from bayes_atlas.posterior import Posterior

DRAWS = 1000
REFERENCES = {"params": 7e8, "tokens": 3e10}
CHINCHILLA = ("E", "A", "B", "alpha", "beta")
SITES = {
    "chinchilla": CHINCHILLA,
    "data_constrained": (*CHINCHILLA, "R_D", "R_N"),
    "atlas": (*CHINCHILLA, "lam", "tau", "tau_other"),
}
REPEATING = ("data_constrained", "atlas")
every_law = pytest.mark.parametrize("law", SITES)
every_repeating_law = pytest.mark.parametrize("law", REPEATING)

# Budgets over twelve orders of magnitude, and so few tokens that the larger ones repeat them many times.
LIMITED = [(1e19, 1e8), (1e21, 1e9), (1e21, 2e10), (1e24, 1e10), (1e26, 1e11)]


def sites_of(law, draws=DRAWS, seed=0):
    """Random parameters of a law, far beyond what any posterior spans; sizes are in units of `REFERENCES`."""
    rng = np.random.default_rng(seed)
    everything = {
        "E": rng.uniform(0, 2, draws),
        "A": np.exp(rng.uniform(np.log(0.05), np.log(3), draws)),
        "B": np.exp(rng.uniform(np.log(0.05), np.log(3), draws)),
        "alpha": rng.uniform(0.15, 0.8, draws),
        "beta": rng.uniform(0.15, 0.8, draws),
        "R_D": np.exp(rng.uniform(0, np.log(50), draws)),
        "R_N": np.exp(rng.uniform(0, np.log(50), draws)),
        "lam": np.exp(rng.uniform(np.log(0.02), 0, draws)),
        "tau": rng.normal(0, 0.2, (draws, 3)),
        "tau_other": rng.normal(0, 0.1, draws),
    }
    return {name: everything[name] for name in SITES[law]}


@pytest.fixture
def make(tiny_posterior):
    """Build a posterior of `law` for sw with the given draws, and for en with others."""

    def build(law, sites=None, *, references=REFERENCES, compute=1e30, epochs=50.0, checks=None):
        sites = sites_of(law) if sites is None else sites
        dims = ("chain", "draw", "language", "source")
        arrays = {}
        for name, values in sites.items():
            by_language = np.stack([values, 0.9 * values], axis=1)  # (draw, language[, source])
            arrays[name] = (dims[: by_language.ndim + 1], by_language[None])
        ranges = {"params": (1.0, 1e20), "tokens": (1.0, 1e20), "compute": (1.0, compute), "epochs": (1.0, epochs)}
        info = tiny_posterior.info.model_copy(
            update={
                "law": law,
                "model": law,
                "languages": ["sw", "en"],
                "references": {"sw": references, "en": {"params": 2 * references["params"], "tokens": 1e9}},
                "runs": tiny_posterior.info.runs.model_copy(update={"ranges": ranges}),
                "checks": tiny_posterior.info.checks if checks is None else checks,
            }
        )
        group = xr.Dataset(arrays, {"language": ["sw", "en"]})
        return Posterior(xr.DataTree.from_dict({"posterior": group}), info, "this posterior")

    return build


def raw_units(sites, references=REFERENCES):
    """A and B for sizes in plain counts."""
    return (
        sites["A"] * references["params"] ** sites["alpha"],
        sites["B"] * references["tokens"] ** sites["beta"],
    )


def by_hand(sites, compute, references=REFERENCES):
    """Hoffmann et al. (2022), Eq. 4, in plain counts."""
    A, B = raw_units(sites, references)
    alpha, beta = sites["alpha"], sites["beta"]
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return G * (compute / 6) ** (beta / (alpha + beta)), (compute / 6) ** (alpha / (alpha + beta)) / G


def loss_along_budget(law, sites, compute, unique, tokens):
    """The law in plain counts, at all of `tokens` ``(..., draw)`` on the budget line."""
    A, B = raw_units(sites)
    alone = {name: values for name, values in sites.items() if values.ndim == 1} | {"A": A, "B": B}
    covariates = {} if law == "chinchilla" else {"unique": np.full_like(tokens, unique)}
    return get_law(law).loss(compute / (6 * tokens), tokens, **covariates, **alone)


def sharp_draws(law, sites, plan):
    """Draws whose loss is not the same all around the plan: with data and size both exhausted, any point is as good."""
    around = plan.tokens * np.array([[0.5], [2.0]])
    rise = loss_along_budget(law, sites, plan.compute, plan.unique or np.inf, around) - plan.loss
    return (np.abs(rise) > 1e-6 * plan.loss).all(axis=0)


# Nothing repeats


@every_law
@pytest.mark.parametrize("unique", [None, 1e40])
@pytest.mark.parametrize("compute", [1e18, 1e21, 1e25])
def test_it_is_the_closed_form_where_nothing_repeats(make, law, compute, unique):
    plan = optimum(make(law), compute=compute, language="sw", unique=unique)
    params, tokens = by_hand(sites_of(law), compute)
    np.testing.assert_allclose(plan.params, params, rtol=1e-6)
    np.testing.assert_allclose(plan.tokens, tokens, rtol=1e-6)
    np.testing.assert_allclose(
        plan.loss, loss_along_budget(law, sites_of(law), compute, np.inf, plan.tokens), rtol=1e-9
    )
    np.testing.assert_array_equal(plan.epochs, 1.0)
    assert plan.notes == []


@every_law
def test_no_other_division_of_the_budget_is_better_where_nothing_repeats(make, law):
    plan = optimum(make(law), compute=1e22, language="sw")
    moved = plan.tokens * np.exp(np.linspace(-8, 8, 801))[:, None]
    losses = loss_along_budget(law, sites_of(law), 1e22, np.inf, moved)
    assert (plan.loss <= losses.min(axis=0) * (1 + 1e-12)).all()


# Few unique tokens


@every_repeating_law
@pytest.mark.parametrize(("compute", "unique"), LIMITED)
def test_first_order_condition_under_a_limit(make, law, compute, unique):
    sites = sites_of(law)
    plan = optimum(make(law), compute=compute, language="sw", unique=unique)
    step = 1e-6
    below, above = (
        loss_along_budget(law, sites, compute, unique, plan.tokens * np.exp(move)) for move in (-step, step)
    )
    slope = (above - below) / (2 * step)
    terms = plan.loss - sites["E"]
    assert (plan.epochs > 1).any()
    np.testing.assert_array_less(np.abs(slope) / terms, 1e-5)


@every_repeating_law
@pytest.mark.parametrize(("compute", "unique"), LIMITED)
def test_no_point_of_a_grid_is_better_under_a_limit(make, law, compute, unique):
    sites = sites_of(law)
    plan = optimum(make(law), compute=compute, language="sw", unique=unique)
    grid = np.exp(np.linspace(np.log(1e4), np.log(compute / 6e3), 4001))
    losses = loss_along_budget(law, sites, compute, unique, np.repeat(grid[:, None], DRAWS, axis=1))
    assert (plan.loss <= losses.min(axis=0) * (1 + 1e-12)).all()
    sharp = sharp_draws(law, sites, plan)
    assert sharp.mean() > 0.25
    distance = np.log(plan.tokens / grid[losses.argmin(axis=0)])
    np.testing.assert_array_less(np.abs(distance[sharp]), 2 * np.log(grid[1] / grid[0]))


def test_a_limit_shifts_the_budget_to_parameters(make):
    free = optimum(make("atlas"), compute=1e22, language="sw")
    limited = optimum(make("atlas"), compute=1e22, language="sw", unique=1e10)
    binds = free.tokens > 1e10
    assert binds.any()
    assert not binds.all()
    assert (limited.tokens[binds] > 1e10).all()
    assert (limited.tokens[binds] < free.tokens[binds]).all()
    assert (limited.params[binds] > free.params[binds]).all()
    assert (limited.loss[binds] > free.loss[binds]).all()
    np.testing.assert_array_equal(limited.tokens[~binds], free.tokens[~binds])


@every_repeating_law
@pytest.mark.parametrize("below", [1e-2, 1e-4, 1e-8, 1e-12, 1e-15])
def test_the_plan_is_continuous_in_the_limit(make, law, below):
    for draw in range(10):
        one = {name: values[draw : draw + 1] for name, values in sites_of(law).items()}
        free = optimum(make(law, one), compute=1e22, language="sw")
        limited = optimum(make(law, one), compute=1e22, language="sw", unique=float(free.tokens[0]) * (1 - below))
        assert limited.tokens == pytest.approx(free.tokens, rel=10 * below + 1e-7)
        assert limited.params == pytest.approx(free.params, rel=10 * below + 1e-7)
        assert limited.loss == pytest.approx(free.loss, rel=below + 1e-9)
        assert limited.epochs == pytest.approx(1, abs=10 * below + 1e-7)


@every_repeating_law
def test_draws_do_not_depend_on_each_other(make, law):
    together = optimum(make(law), compute=1e22, language="sw", unique=1e10)
    for draw in (0, 7, 500):
        one = {name: values[draw : draw + 1] for name, values in sites_of(law).items()}
        alone = optimum(make(law, one), compute=1e22, language="sw", unique=1e10)
        assert alone.tokens[0] == pytest.approx(together.tokens[draw], rel=1e-6)


def test_chinchilla_stops_at_one_epoch_and_says_so(make):
    plan = optimum(make("chinchilla"), compute=1e22, language="sw", unique=1e10)
    _, free = by_hand(sites_of("chinchilla"), 1e22)
    binds = free > 1e10
    np.testing.assert_allclose(plan.tokens, np.minimum(free, 1e10), rtol=1e-9)
    np.testing.assert_allclose(plan.epochs, 1.0, rtol=1e-12)
    assert plan.notes == [
        f"the law chinchilla does not include repetition: data stop at 1e+10 tokens, one epoch, in {binds.mean():.0%} "
        "of the draws; a posterior of data_constrained or atlas includes more epochs"
    ]


# What holds of every plan


@every_law
@pytest.mark.parametrize("unique", [None, 1e10])
def test_the_quantities_agree_with_each_other(make, law, unique):
    plan = optimum(make(law), compute=1e22, language="sw", unique=unique)
    np.testing.assert_allclose(6 * plan.params * plan.tokens, 1e22, rtol=1e-9)
    np.testing.assert_allclose(plan.epochs, np.maximum(plan.tokens / (unique or np.inf), 1), rtol=1e-9)
    np.testing.assert_allclose(plan.quantities["tokens_per_param"] * plan.params, plan.tokens, rtol=1e-9)
    assert set(plan.quantities) == {"params", "tokens", "loss", "epochs", "tokens_per_param"}
    assert all(draws.shape == (DRAWS,) for draws in plan.quantities.values())
    assert (plan.language, plan.compute, plan.unique) == ("sw", 1e22, unique)


@every_law
@pytest.mark.parametrize("unique", [None, 1e10])
def test_reference_scales_do_not_matter(make, law, unique):
    sites = sites_of(law)
    elsewhere = {"params": 1e6, "tokens": 5e12}
    A, B = raw_units(sites)
    moved = sites | {
        "A": A * elsewhere["params"] ** -sites["alpha"],
        "B": B * elsewhere["tokens"] ** -sites["beta"],
    }
    here = optimum(make(law, sites), compute=1e22, language="sw", unique=unique)
    there = optimum(make(law, moved, references=elsewhere), compute=1e22, language="sw", unique=unique)
    np.testing.assert_allclose(there.loss, here.loss, rtol=1e-12)
    sharp = sharp_draws(law, sites, here)
    assert sharp.mean() > 0.6
    closeness = 1e-6 if unique is None else 1e-3  # a numerical minimum of the loss tells its place far less sharply
    for name, draws in here.quantities.items():
        np.testing.assert_allclose(there.quantities[name][sharp], draws[sharp], rtol=closeness)


def test_parameters_are_those_of_the_language(make):
    posterior = make("chinchilla")
    sites = {name: 0.9 * values for name, values in sites_of("chinchilla").items()}
    params, _ = by_hand(sites, 1e22, {"params": 2 * REFERENCES["params"], "tokens": 1e9})
    np.testing.assert_allclose(optimum(posterior, compute=1e22, language="en").params, params)


def test_transfer_does_not_enter_training_in_one_language(make):
    sites = sites_of("atlas")
    without = {name: values for name, values in sites.items() if not name.startswith("tau")}
    plans = [optimum(make("atlas", s), compute=1e22, language="sw", unique=1e10) for s in (sites, without)]
    np.testing.assert_array_equal(plans[0].tokens, plans[1].tokens)


def test_summaries_are_of_every_quantity(make):
    plan = optimum(make("chinchilla"), compute=1e22, language="sw")
    summary = plan.summary(0.5)
    assert set(summary) == set(plan.quantities)
    lower, median, upper = np.quantile(plan.params, [0.25, 0.5, 0.75])
    assert summary["params"] == {
        "median": median,
        "mean": plan.params.mean(),
        "lower": lower,
        "upper": upper,
        "probability": 0.5,
        "kind": "eti",
        "mcse": summarise(plan.params, 0.5)["mcse"],
    }


def test_single_precision_draws_are_enough(tiny_posterior):
    plan = optimum(tiny_posterior, compute=1e21, language="sw")
    assert plan.params.dtype == np.float64
    np.testing.assert_allclose(6 * plan.params * plan.tokens, 1e21, rtol=1e-9)


# Notes


def test_extrapolation_is_noted(make):
    posterior = make("chinchilla", compute=1e21)
    assert optimum(posterior, compute=1e21, language="sw").notes == []
    (note,) = optimum(posterior, compute=2.5e22, language="sw").notes
    assert note == (
        "this extrapolates beyond the runs of this posterior: training compute 25 times the largest of its runs "
        "(1e+21 FLOPs); the intervals assume that the law holds there"
    )


def test_failed_checks_are_noted_first(make):
    failed = Check(name="no_divergences", passed=False, value=17, limit=0, where="chain 1", advice="smaller steps")
    passed = Check(name="r_hat_below_1_01", passed=True, value=1.0, limit=1.01, where="", advice="wait")
    posterior = make("chinchilla", checks=[passed, failed], compute=1e18)
    first, second = optimum(posterior, compute=1e22, language="sw").notes
    assert first == "the sampling of this posterior failed the check no_divergences (17, limit 0): smaller steps"
    assert second.startswith("this extrapolates")


@every_repeating_law
def test_repetition_that_no_run_has_seen_is_noted(make, law):
    posterior = make(law, epochs=1.0)
    note = "no fitted run repeats data: the value of repeated data comes from the prior alone"
    assert note in optimum(posterior, compute=1e22, language="sw", unique=1e10).notes
    assert note not in optimum(posterior, compute=1e22, language="sw", unique=1e40).notes
    assert note not in optimum(make(law, epochs=4.0), compute=1e22, language="sw", unique=1e10).notes


def test_a_budget_beyond_all_use_is_noted(make):
    one = {"E": 1.8, "A": 0.5, "B": 0.6, "alpha": 0.35, "beta": 0.35, "R_D": 2.0, "R_N": 3.0}
    posterior = make("data_constrained", {name: np.array([value]) for name, value in one.items()}, epochs=1e9)
    assert optimum(posterior, compute=1e19, language="sw", unique=1e9).notes == []
    (note,) = optimum(posterior, compute=1e24, language="sw", unique=1e9).notes
    assert note == (
        "in 100% of the draws the budget is larger than useful: half or twice the tokens at the same budget changes "
        "the loss by less than 0.01%, so size and tokens are not identified there"
    )


# Errors


@pytest.mark.parametrize("compute", [-1e21, 0.0, np.nan, np.inf])
def test_a_budget_must_be_a_positive_number(make, compute):
    with pytest.raises(InputError, match=re.escape(f"compute is {compute}; it must be a positive number")):
        optimum(make("chinchilla"), compute=compute, language="sw")


@pytest.mark.parametrize("unique", [-1.0, 0.0, np.nan, np.inf])
def test_unique_tokens_must_be_a_positive_number(make, unique):
    with pytest.raises(InputError, match=re.escape(f"unique is {unique}; it must be a positive number")):
        optimum(make("atlas"), compute=1e21, language="sw", unique=unique)


def test_an_unknown_language_is_answered_with_those_there_are(make):
    with pytest.raises(InputError, match=r"this posterior has no language 'xx'; choose one of: sw, en"):
        optimum(make("chinchilla"), compute=1e21, language="xx")
    with pytest.raises(InputError, match=r"no language was named; choose one of: sw, en"):
        optimum(make("chinchilla"), compute=1e21)


@pytest.mark.parametrize("law", ["capacity", "family_share", "crossover"])
def test_a_law_without_an_optimum_is_refused(make, law):
    posterior = make("chinchilla")
    foreign = dataclasses.replace(posterior, info=posterior.info.model_copy(update={"law": law}))
    with pytest.raises(InputError, match=f"this posterior fits the law '{law}', which has no compute-optimal point"):
        optimum(foreign, compute=1e21, language="sw")


@pytest.mark.parametrize(
    "request_",
    [
        {"language": "sw"},
        {"language": "sw", "unique": 1e9, "max_params": 2e9, "max_tokens": 1e13},
        {"weights": {"sw": 3, "en": 1}, "unique": {"sw": 1e9}, "served": 1e12},
    ],
    ids=["plain", "limits", "mixture"],
)
def test_an_optimum_keeps_what_every_decision_promises(of_law, keeps_its_promises, request_):
    found = optimum(dataclasses.replace(of_law("atlas", draws=50), name="<mine>"), compute=1e22, **request_)
    keeps_its_promises(found, dict.fromkeys(found.quantities, ("draw",)))
    assert found.draws["tokens"].attrs["units"] == "tokens"
    document = found.to_dict(0.8)
    assert document["action"] == found.action.summary(0.8) == bayes_action(found).summary(0.8)
    assert document["cautious_action"] == found.cautious_action.summary(0.8) == cautious_action(found).summary(0.8)
    asked = {"max_params": None, "max_tokens": None, "served": None, "unique": None} | request_
    assert {name: document[name] for name in ("max_params", "max_tokens", "served", "unique")} == {
        name: asked[name] for name in ("max_params", "max_tokens", "served", "unique")
    }
    assert document["compute"] == 1e22
    assert (document["law_error"], document["if_law_holds"]) == ("none", None)
    shown = [row["compute-optimal"] for row in found.rows()]
    assert ("epochs over U" in shown) == (found.unique is not None)
