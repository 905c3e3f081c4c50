"""Decisions under priors of another power, beside posteriors that are known in closed form."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from bayes_atlas import expand, load_posterior, optimum
from bayes_atlas.errors import InputError
from bayes_atlas.validation.prior_power import prior_power, weighed

CHAINS, DRAWS = 4, 2000
RUNS = (2.0, 0.1)  # mean and sd of E as runs alone tell it
PRIOR = (1.8, 0.2)


def known(power, prior=PRIOR):
    """Mean and sd of E under the prior to a power."""
    precisions = np.array([RUNS[1] ** -2, power * prior[1] ** -2])
    return precisions @ [RUNS[0], prior[0]] / precisions.sum(), precisions.sum() ** -0.5


@pytest.fixture
def make(tiny_posterior):
    """Build a posterior in which the runs and a normal prior determine E, and all else is known."""

    def build(prior=PRIOR):
        mean, sd = known(1, prior)
        E = np.random.default_rng(0).normal(mean, sd, (CHAINS, DRAWS))
        fixed = {"A": 0.5, "B": 0.6, "alpha": 0.34, "beta": 0.28}
        sites = {"E": E} | {name: np.full_like(E, value) for name, value in fixed.items()}
        dims = ("chain", "draw", "language")
        both = {name: (dims, np.repeat(values[..., None], 2, axis=-1)) for name, values in sites.items()}
        densities = {"E": (dims[:2], norm.logpdf(E, *prior)), "alpha": (dims[:2], np.full_like(E, -3.0))}
        index = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
        groups = {
            "posterior": xr.Dataset(both, {"language": ["en", "sw"]} | index),
            "log_prior": xr.Dataset(densities, index),
        }
        return replace(tiny_posterior, draws=xr.DataTree.from_dict(groups))

    return build


def test_weighed_draws_are_the_posterior_under_the_other_prior(make):
    """The loss at the optimum is E and a constant: its median and interval are known."""
    posterior = make()
    decision = optimum(posterior, compute=1e21, language="sw")
    constant = (decision.loss - posterior.drawn("E")["E"][:, 1])[0]
    found = {each["power"]: each for each in prior_power(decision, posterior).summary(0.8)}
    assert list(found) == [0.5, 1.0, 2.0]
    for power, each in found.items():
        mean, sd = known(power)
        loss = each["quantities"]["loss"]
        assert each["reliable"]
        count = each["ess"]
        assert loss["mean"] == pytest.approx(mean + constant, abs=5 * sd / np.sqrt(count))
        for name, place in (("lower", 0.1), ("median", 0.5), ("upper", 0.9)):
            error = np.sqrt(place * (1 - place) / count) / norm.pdf(norm.ppf(place)) * sd
            assert loss[name] == pytest.approx(norm.ppf(place, mean, sd) + constant, abs=5 * error)
    fitted = found[1.0]["quantities"]["loss"]
    summary = decision.summary(0.8)["loss"]
    assert {name: fitted[name] for name in ("lower", "median", "upper", "mean")} == {
        name: summary[name] for name in ("lower", "median", "upper", "mean")
    }
    assert (found[1.0]["ess"], found[1.0]["pareto_k"]) == (pytest.approx(CHAINS * DRAWS), None)
    width = fitted["upper"] - fitted["lower"]
    other = found[2.0]["quantities"]["loss"]
    assert other["moved"] == pytest.approx((other["median"] - fitted["median"]) / width)
    assert found[0.5]["quantities"]["loss"]["moved"] > 0 > other["moved"]


def test_it_says_what_moves(make):
    weak, strong = make(), make((1.7, 0.15))
    little, _ = prior_power(optimum(weak, compute=1e21, language="sw"), weak).remarks()
    assert little.startswith("priors to the power 0.5 change little (Pareto k ")
    found = prior_power(optimum(strong, compute=1e21, language="sw"), strong)
    wide, narrow = found.remarks()
    assert "loss by +1" in wide
    assert "priors to the power 2 move medians, as a share of their interval's width: loss by -" in narrow
    assert narrow.endswith(f"ESS of the weights {found.weights[2].ess:,.0f})")


def test_weights_that_cannot_be_relied_on_are_told(make):
    """The runs contradict the prior by five of its sds: without half of it, E lies where no draws are."""
    posterior = make((1.0, 0.05))
    found = prior_power(optimum(posterior, compute=1e21, language="sw"), posterior)
    far = [each["reliable"] for each in found.summary()]
    assert far[1]
    assert not all(far)
    assert any("do not rely on that row; fit again with such priors in the model" in each for each in found.remarks())


def test_the_document_and_the_table(make):
    posterior = make()
    decision = optimum(posterior, compute=1e21, language="sw")
    found = prior_power(decision, posterior)
    document = found.to_dict(0.8)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["notes"] == decision.notes
    assert document["remarks"] == found.remarks(0.8)
    rows = found.rows(0.8)
    assert [row["quantity"] for row in rows] == ["loss", "", ""]
    assert [row["prior to the power"] for row in rows] == ["1", "0.5", "2"]
    assert rows[0]["median"] == f"{np.median(decision.loss):.4g}"


def test_infinite_draws_are_counted_and_left_out():
    draws, weights = np.array([1.0, 2.0, 3.0, np.inf]), np.array([0.1, 0.5, 0.1, 0.3])
    found = weighed(draws, weights)
    assert (found["lower"], found["median"], found["upper"]) == (1.0, 2.0, 3.0)
    assert (found["infinite"], found["mean"]) == (pytest.approx(0.3), pytest.approx(2.0))
    assert weighed(draws, None)["infinite"] == 0.25
    none = weighed(np.full(4, np.inf), None)
    assert (none["median"], none["infinite"]) == (None, 1.0)


def test_densities_that_were_not_stored_are_computed_from_the_model():
    stored = load_posterior("capacity-simulated")
    posterior = replace(stored, draws=stored.draws.drop_nodes("log_prior"))
    decision = expand(posterior, factor=4)
    computed, expected = prior_power(decision, posterior), prior_power(decision, stored)
    assert set(computed.quantities) >= {"params_factor", "compute_factor"}
    for found, stated in zip(computed.weights, expected.weights, strict=True):
        np.testing.assert_allclose(found.each, stated.each, rtol=0.02, atol=1e-7)


def test_densities_that_are_not_there_and_cannot_be_computed_are_asked_for():
    posterior = load_posterior("transfer-atlas")
    decision = optimum(load_posterior("chinchilla-2022"), compute=1e22)
    with pytest.raises(InputError, match=r"transfer-atlas depend on priors needs the group log_prior, .*; fit again$"):
        prior_power(decision, posterior)


def test_a_model_that_changed_cannot_stand_in(make, monkeypatch):
    posterior = make()
    without = replace(posterior, draws=posterior.draws.drop_nodes("log_prior"))
    monkeypatch.setattr("bayes_atlas.validation.prior_power.is_stale", lambda posterior, model=None: True)
    with pytest.raises(InputError, match=r"no group log_prior, and its model has changed since the fit; fit again"):
        prior_power(optimum(without, compute=1e21, language="sw"), without)
