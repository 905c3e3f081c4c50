"""Monte Carlo errors: those of ArviZ, and those that repeated simulation shows."""

from dataclasses import replace

import arviz as az
import numpy as np
import pytest
import xarray as xr

from bayes_atlas import efficiency_tax, expand, find_crossover, load_posterior, mixture, optimum, trajectory
from bayes_atlas.decisions.monte_carlo import convergence, mean_errors, numerics_notes, quantile_errors

PROBABILITIES = (0.05, 0.5, 0.95)


def walk(chains, draws, correlation, seed=0, apart=0.0):
    """Chains ``(chain, draw)`` of an autoregression with unit variance, whose means lie `apart`."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, draws)) * np.sqrt(1 - correlation**2)
    found = np.empty_like(noise)
    found[:, 0] = rng.normal(size=chains)
    for at in range(1, draws):
        found[:, at] = correlation * found[:, at - 1] + noise[:, at]
    return found + apart * np.arange(chains)[:, None]


def of_arviz(chains, statistic, **options):
    return float(statistic(xr.Dataset({"x": (("chain", "draw"), chains)}), **options)["x"])


CHAINS = {
    "independent": walk(4, 500, 0.0),
    "odd": walk(3, 251, 0.3),
    "slow": np.exp(walk(4, 250, 0.95)),
    "antithetic": walk(4, 500, -0.7),
    "apart": walk(4, 300, 0.5, apart=0.5),
    "rounded": np.round(walk(4, 400, 0.6)),
    "short": walk(2, 4, 0.5),
    "seven": walk(2, 7, 0.9),
}


@pytest.mark.parametrize("chains", CHAINS.values(), ids=CHAINS)
def test_the_figures_are_those_of_arviz(chains):
    found = convergence(chains.ravel(), len(chains))
    assert found["r_hat"] == pytest.approx(of_arviz(chains, az.rhat), rel=1e-9)
    assert found["ess_bulk"] == pytest.approx(of_arviz(chains, az.ess, method="bulk"), rel=1e-9)
    assert found["ess_tail"] == pytest.approx(of_arviz(chains, az.ess, method="tail", prob=(0.05, 0.95)), rel=1e-9)
    errors = quantile_errors(chains.ravel(), PROBABILITIES, len(chains))
    expected = [of_arviz(chains, az.mcse, method="quantile", prob=prob) for prob in PROBABILITIES]
    assert errors == pytest.approx(expected, rel=1e-9)
    assert mean_errors(chains.ravel(), len(chains)) == pytest.approx(
        [of_arviz(chains, az.mcse, method="mean")], rel=1e-9
    )


def test_means_of_several_quantities_have_errors_of_their_own():
    several = np.stack([walk(4, 200, each).ravel() for each in (0.0, 0.5, 0.9)], axis=1)
    assert mean_errors(several, 4) == pytest.approx([mean_errors(draws, 4)[0] for draws in several.T])


def test_the_error_of_a_quantile_is_the_scatter_over_repeated_sampling():
    repeated = [walk(4, 500, 0.6, seed).ravel() for seed in range(300)]
    scatter = np.std([np.quantile(draws, PROBABILITIES) for draws in repeated], axis=0)
    told = np.mean([quantile_errors(draws, PROBABILITIES, 4) for draws in repeated], axis=0)
    np.testing.assert_allclose(told, scatter, rtol=5 / np.sqrt(2 * len(repeated)))


def test_the_error_among_some_draws_is_the_scatter_over_repeated_sampling():
    """Draws without a crossover are as correlated as the others, and their number varies."""
    found, errors = [], []
    for seed in range(300):
        draws, exists = walk(4, 500, 0.6, seed).ravel(), walk(4, 500, 0.9, 1000 + seed).ravel() < 0.5
        draws += exists * walk(4, 500, 0.9, 1000 + seed).ravel()  # what exists depends on where the chain is
        found.append(np.quantile(draws[exists], PROBABILITIES))
        errors.append(quantile_errors(np.where(exists, draws, np.inf), PROBABILITIES, 4, exists))
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(found, axis=0), rtol=5 / np.sqrt(2 * len(found)))


def test_all_draws_among_all_make_no_difference():
    draws = walk(4, 250, 0.8).ravel()
    everyone = np.full(draws.shape, True)
    assert quantile_errors(draws, PROBABILITIES, 4, everyone) == quantile_errors(draws, PROBABILITIES, 4)


def test_infinite_draws_count_as_the_largest():
    finite = walk(4, 250, 0.5).ravel()
    infinite = np.where(finite > 1.0, np.inf, finite)
    found = convergence(infinite, 4)
    clipped = convergence(np.minimum(finite, 1.0), 4)
    assert found["ess_bulk"] == pytest.approx(clipped["ess_bulk"])
    assert found["r_hat"] < 1.05
    lower, median, upper = quantile_errors(infinite, PROBABILITIES, 4)
    assert [lower, median] == quantile_errors(finite, PROBABILITIES[:2], 4)
    assert upper is None
    mostly = np.where(finite > -1.0, np.inf, finite)
    assert np.isfinite(convergence(mostly, 4)["r_hat"])


@pytest.mark.parametrize("draws", [np.full(400, 2.0), np.full(400, np.inf), np.arange(7.0)], ids=str)
def test_draws_that_do_not_vary_or_are_too_few_tell_nothing(draws):
    assert convergence(draws, 2) == {"r_hat": None, "ess_bulk": None, "ess_tail": None}
    assert numerics_notes({"params": draws}, 2) == []


def test_the_error_of_draws_that_do_not_vary_is_zero():
    assert quantile_errors(np.full(400, 2.0), PROBABILITIES, 4) == [0.0, 0.0, 0.0]
    assert quantile_errors(np.arange(7.0), PROBABILITIES, 2) == [None, None, None]
    assert mean_errors(np.full(400, True), 4) == [0.0]
    assert mean_errors(np.full(7, True), 2) == [None]


def test_good_draws_need_no_note():
    assert numerics_notes({"params": CHAINS["independent"].ravel()}, 4) == []


def test_few_draws_are_noted_with_the_error_of_the_interval():
    slow = np.exp(walk(4, 1000, 0.97)).ravel()
    (note,) = numerics_notes({"loss": walk(4, 1000, 0.0).ravel(), "params": slow}, 4)
    errors = quantile_errors(slow, (0.05, 0.95), 4)
    lower, upper = np.quantile(slow, (0.05, 0.95))
    assert note.startswith("the interval ends of params are uncertain by ")
    assert f"{max(errors) / (upper - lower):.0%} of the width from sampling alone (R-hat " in note


def test_chains_that_disagree_are_noted():
    (note,) = numerics_notes({"params": walk(4, 1000, 0.0, apart=0.3).ravel()}, 4)
    assert "params are uncertain by at least" in note
    stuck = np.repeat(np.arange(4.0), 500)
    (note,) = numerics_notes({"tokens": stuck}, 4)
    assert "R-hat inf" in note


def test_infinite_draws_are_noted_too():
    slow = walk(4, 1000, 0.97).ravel()
    (note,) = numerics_notes({"tokens": np.where(slow > 0.5, np.inf, slow)}, 4)
    assert note.startswith("the interval ends of tokens are uncertain by ")


# Decisions


def in_chains(posterior, draws):
    return np.asarray(draws).reshape(posterior.draws["posterior"].sizes["chain"], -1)


def assert_of_arviz(posterior, draws, summary, numerics):
    chains = in_chains(posterior, draws)
    errors = [summary["mcse"][name] for name in ("lower", "median", "upper")]
    expected = [of_arviz(chains, az.mcse, method="quantile", prob=prob) for prob in ((1 - 0.9) / 2, 0.5, (1 + 0.9) / 2)]
    assert errors == pytest.approx(expected)
    assert numerics["r_hat"] == pytest.approx(of_arviz(chains, az.rhat))
    assert numerics["ess_bulk"] == pytest.approx(of_arviz(chains, az.ess, method="bulk"))
    assert numerics["ess_tail"] == pytest.approx(of_arviz(chains, az.ess, method="tail", prob=(0.05, 0.95)))


@pytest.mark.parametrize("law_error", ["learned", "none"])
def test_an_optimum_has_the_numerics_of_its_chains(law_error):
    posterior = load_posterior("chinchilla-2022")
    assert posterior.chains == 4
    found = optimum(posterior, compute=1e22, law_error=law_error)
    document = found.to_dict()
    for name in ("params", "tokens", "loss"):
        assert_of_arviz(posterior, found.quantities[name], document[name], document["numerics"][name])
    assert document["numerics"]["epochs"] == {"r_hat": None, "ess_bulk": None, "ess_tail": None}
    assert document["action"]["regret"]["mcse"]["median"] > 0


def test_growth_has_the_numerics_of_its_chains():
    posterior = load_posterior("capacity-simulated")
    found = expand(posterior, factor=4)
    document = found.to_dict()
    for name, draws in found.quantities.items():
        assert_of_arviz(posterior, draws, document[name], document["numerics"][name])


def test_a_crossover_has_the_numerics_of_its_chains():
    posterior = load_posterior("crossover-bytes")
    always = find_crossover(posterior, params=65.8e6, language="de", checkpoint="en", tokens=9e9)
    document = always.to_dict()
    assert always.probability_none == 0
    assert_of_arviz(posterior, always.tokens, document["tokens"], document["numerics"]["tokens"])
    wins = in_chains(posterior, always.scratch_wins)
    assert document["probability_scratch_wins_mcse"] == pytest.approx(of_arviz(wins, az.mcse, method="mean"))
    seldom = find_crossover(posterior, params=65.8e6, language="ar", checkpoint="ru")
    none = in_chains(posterior, np.isinf(seldom.tokens).astype(float))
    document = seldom.to_dict()
    assert 0 < seldom.probability_none < 1
    assert document["probability_none_in_range_mcse"] == pytest.approx(of_arviz(none, az.mcse, method="mean"))
    assert document["numerics"]["tokens"]["ess_bulk"] > 400


def test_trajectories_have_numerics_by_budget():
    posterior = load_posterior("chinchilla-2022")
    found = trajectory(posterior, compute=[1e21, 1e22], law_error="none")
    document = found.to_dict()
    for budget, (row, numerics) in enumerate(zip(document["trajectory"], document["numerics"], strict=True)):
        assert_of_arviz(posterior, found.params[:, budget], row["params"], numerics["params"])


def test_mixtures_and_taxes_have_numerics():
    posterior = load_posterior("atlas-simulated")
    found = mixture(posterior, compute=1e21, weights={"en:multilingual": 1.0, "fr:multilingual": 1.0}, law_error="none")
    document = found.to_dict()
    assert_of_arviz(posterior, found.plan.loss, document["loss"], document["numerics"]["loss"])
    taxes = efficiency_tax(posterior, language="fr", compute=1e20, law_error="none")
    (row,) = taxes[0].summary()
    assert row["numerics"] == convergence(taxes[0].factor[:, 0], 4)
    assert row["factor"]["mcse"]["median"] > 0


def test_a_decision_notes_chains_that_disagree():
    posterior = load_posterior("chinchilla-2022")
    drawn = posterior.draws["posterior"].to_dataset()
    drawn["alpha"] = drawn["alpha"] + 0.02 * xr.DataArray(np.arange(4), dims="chain")
    tree = posterior.draws.assign({"posterior": xr.DataTree(drawn)})
    notes = optimum(replace(posterior, draws=tree), compute=1e24, law_error="none").notes
    assert any("params, tokens" in note and "from sampling alone (R-hat 1." in note for note in notes)
    assert not any("sampling alone" in note for note in optimum(posterior, compute=1e22, law_error="none").notes)
