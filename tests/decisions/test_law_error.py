"""Errors of the law in every decision: wider, near the law where runs are, and left out when asked to."""

import numpy as np
import pytest

from bayes_atlas.decisions.mixture import mixture
from bayes_atlas.decisions.objective import objective
from bayes_atlas.decisions.optimum import FLAT, optimum
from bayes_atlas.decisions.problem import problem
from bayes_atlas.decisions.tax import efficiency_tax
from bayes_atlas.decisions.trajectory import trajectory
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import load_posterior

NEAR, FAR = 1e20, 1e24  # FLOPs; runs end at 3e20


def width(draws):
    lower, upper = np.quantile(np.log(draws), [0.05, 0.95])
    return upper - lower


def test_intervals_widen_with_the_distance(erring_posterior):
    near, far = (optimum(erring_posterior, compute=budget) for budget in (NEAR, FAR))
    assert width(far.params) > 2 * width(near.params)
    for found in (near, far):
        assert width(found.params) > width(found.if_law_holds.params)
        assert found.if_law_holds.if_law_holds is None


def test_the_optimum_is_the_least_loss_of_each_draw(erring_posterior):
    """Against a fine grid along the whole budget line; of two minima that differ by less, either may be found."""
    found = optimum(erring_posterior, compute=FAR)
    asked = found.problem
    line = np.exp(np.linspace(-6, 6, 1201))[:, None] * np.median(found.tokens)
    by_grid = asked.loss(asked.size(line, FAR), line).min(axis=0)
    assert (found.loss <= by_grid * (1 + FLAT)).all()
    assert np.mean(found.loss <= by_grid * (1 + 1e-7)) > 0.99


def test_the_law_alone_is_what_it_was(erring_posterior):
    alone = optimum(erring_posterior, compute=FAR, law_error="none")
    beside = optimum(erring_posterior, compute=FAR).if_law_holds
    np.testing.assert_array_equal(alone.params, beside.params)
    assert alone.problem.objective.error is None


def test_the_plan_to_act_on_sees_the_errors(erring_posterior):
    found = optimum(erring_posterior, compute=FAR)
    assert found.action.regret.mean() > 2 * found.if_law_holds.action.regret.mean()
    assert (found.action.regret >= 0).all()
    assert found.cautious_action.cvar <= found.action.cvar * (1 + 1e-9)


def test_slopes_are_derivatives_of_the_loss(erring_posterior):
    ahead = objective(erring_posterior)
    params, tokens, step = 3e9, 4e11, 1e-5
    of_params, of_tokens = ahead.slopes(params, {"en": tokens})

    def difference(up, down):
        return (up - down) / (2 * step)

    by_params = difference(*(ahead.loss(params * np.exp(way), {"en": tokens}) for way in (step, -step)))
    by_tokens = difference(*(ahead.loss(params, {"en": tokens * np.exp(way)}) for way in (step, -step)))
    np.testing.assert_allclose(of_params, by_params, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(of_tokens["en"], by_tokens, rtol=1e-3, atol=1e-7)


def test_trajectories_have_both(erring_posterior):
    path = trajectory(erring_posterior, compute=[NEAR, FAR])
    assert [width(path.params[:, at]) > width(path.if_law_holds.params[:, at]) for at in (0, 1)] == [True, True]
    document = path.to_dict()
    assert document["law_error"] == "learned"
    assert document["if_law_holds"][0]["compute"] == NEAR


def test_the_same_seed_gives_the_same_draws(erring_posterior):
    once, again = (optimum(erring_posterior, compute=FAR).params for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_an_unknown_choice(erring_posterior):
    with pytest.raises(InputError, match="law_error is 'some'; choose one of: learned, none"):
        problem(erring_posterior, law_error="some")


def test_an_answer_says_what_the_runs_did_not_tell(erring_posterior):
    """Parameters that are the prior's are named; without stored errors nothing is known of that."""
    learned = erring_posterior.draws["law_error"].to_dataset()
    told = learned.assign(contraction=learned["contraction"] * 0 + [0.9, 0.9, 0.1, 0.05, 0.9])
    posterior = type(erring_posterior)(
        erring_posterior.draws.assign({"law_error": erring_posterior.draws["law_error"].copy()}),
        erring_posterior.info,
        "mine",
    )
    posterior.draws["law_error"].dataset = told
    notes = optimum(posterior, compute=NEAR).notes
    assert "the runs of en say little about share of E, alpha: this answer takes them from the prior" in notes
    assert not any("say little" in note for note in optimum(erring_posterior, compute=NEAR).notes)


@pytest.mark.parametrize("name", ["chinchilla-2022", "datablations-2023"])
def test_shipped_posteriors_answer_with_errors(name):
    found = optimum(load_posterior(name), compute=1e21)
    assert np.isfinite(found.loss).all()
    assert width(found.params) > width(found.if_law_holds.params)


def test_published_optima_lie_within_the_interval():
    """Hoffmann et al. 2022, Table 3: 67B, 63B and 40B at 5.76e23 FLOPs; Besiroglu et al. 2024: D / N = 25.7."""
    found = optimum(load_posterior("chinchilla-2022"), compute=5.76e23)
    lower, upper = np.quantile(found.params, [0.05, 0.95])
    besiroglu = (5.76e23 / 6 / 25.7) ** 0.5
    assert all(lower < published < upper for published in (67e9, 63e9, 40e9, besiroglu))


def test_growth_of_languages_has_errors():
    from bayes_atlas.decisions.expand import expand, frontier

    posterior = load_posterior("capacity-simulated")
    for start in ({}, {"params": 2e9, "tokens": 1e11, "languages": 8}):
        found = expand(posterior, factor=2, language="fr", **start)
        assert width(found.params_factor) > width(found.if_law_holds.params_factor)
        assert np.median(found.params_factor) == pytest.approx(np.median(found.if_law_holds.params_factor), rel=0.15)
    edge = frontier(posterior, factor=2, language="fr")
    at = np.argmin(np.abs(edge.params_factor - np.median(edge.expansion.params_factor)))
    assert np.median(edge.compute_factor[:, at]) == pytest.approx(np.median(edge.expansion.compute_factor), rel=0.05)


def test_mixtures_and_taxes_have_errors():
    posterior = load_posterior("atlas-simulated")
    weights = {"en:multilingual": 1.0, "fr:multilingual": 1.0}
    found = mixture(posterior, compute=1e21, weights=weights)
    compared = found.compared("uniform")
    assert set(compared) == {"gain", "probability_worse", "probability_worse_mcse", "if_law_holds"}
    assert found.to_dict()["law_error"] == "learned"
    taxes = efficiency_tax(posterior, language="fr", compute=1e20)
    assert taxes.if_law_holds is not None
    assert {"if the law holds", "identified"} <= set(taxes.rows()[0])
