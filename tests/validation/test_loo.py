"""Leave one run out: importance sampling agrees with refits, and refits are made where it fails."""

from dataclasses import replace

import arviz as az
import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy.special import logsumexp

from bayes_atlas.catalogue import load_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.inference.fit import fit_without
from bayes_atlas.inference.record import Without
from bayes_atlas.laws import chinchilla
from bayes_atlas.observations.curves import arrange
from bayes_atlas.sampler.handlers import Counted
from bayes_atlas.validation.loo import leave_one_out

QUICK = {"chains": 2, "warmup": 150, "draws": 400}
FAR = "r9"


def frame():
    """Nine runs of small models on one language, and a run thirty times as large: alone, it says where loss tends."""
    rng = np.random.default_rng(0)
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 1e9, 3), np.geomspace(2e9, 2e10, 3)))
    params, tokens = np.append(params, 3e10), np.append(tokens, 6e11)
    loss = chinchilla.loss(params / 1e9, tokens / 2e10, E=1.5, A=0.5, B=0.6, alpha=0.33, beta=0.28)
    loss = loss * np.exp(0.005 * rng.normal(size=params.size))
    run = [f"r{number}" for number in range(params.size)]
    return pd.DataFrame({"run": run, "language": "en", "params": params, "tokens": tokens, "loss": loss})


@pytest.fixture(scope="module")
def runs():
    return runs_from_frame(frame())


@pytest.fixture(scope="module")
def refits():
    """What `fit_without` returned while `found` was made."""
    return []


@pytest.fixture(scope="module")
def found(runs, refits):
    def recorded(*arguments, **settings):
        refits.extend(fit_without(*arguments, **settings))
        return refits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayes_atlas.validation.loo.fit_without", recorded)
        return leave_one_out(runs, ["chinchilla"], **QUICK)


def per_loss(densities, runs):
    """Log densities of log losses ``(chain, draw, run)`` as those of losses."""
    return densities.astype(float) - np.log(runs["loss"].to_numpy())


def log_mean(densities):
    return logsumexp(densities) - np.log(densities.size)


def two_languages(steps=2):
    """Five runs on two languages, with as many checkpoints of each."""
    table = frame().assign(run=[f"r{number // 2}" for number in range(10)])
    table["language"] = np.where(table.index % 2, "en", "sw")
    later = [table.assign(tokens=table["tokens"] * 2**step, loss=table["loss"] * 0.9**step) for step in range(steps)]
    return runs_from_frame(pd.concat(later, ignore_index=True))


def test_a_run_that_does_not_count_is_gone_from_the_density_alone():
    """Without some curves the joint density is less by their likelihood, which can be asked for all the same."""
    model = load_model("chinchilla").model
    data = arrange(two_languages(), ["params", "tokens", "curves"])
    arguments, counts = data.covariates | {"loss": data.loss}, np.arange(10) % 3 > 0

    @jax.jit
    def densities(key):
        trace = handlers.trace(handlers.seed(model, key)).get_trace(**arguments)
        sites = {name: each["value"] for name, each in trace.items() if each["type"] == "sample"}
        whole, of_whole = log_density(model, (), arguments, sites)
        rest, of_rest = log_density(Counted(model, counts), (), arguments, sites)
        return (
            whole,
            rest,
            *(each["log_loss"]["fn"].log_prob(each["log_loss"]["value"]) for each in (of_whole, of_rest)),
        )

    with jax.enable_x64(True):
        whole, rest, each, still = map(np.asarray, densities(jax.random.key(0)))
    assert whole - rest == pytest.approx(each[~counts].sum(), rel=1e-9)
    np.testing.assert_array_equal(still, each)


def test_runs_that_importance_sampling_cannot_take_out_are_refitted(runs, found, refits):
    """The run of its own size among them; its score is the mean density in the draws of a fit without it."""
    high, score = found.high_k["chinchilla"], found.scores["chinchilla"]
    assert FAR in high
    assert found.refits == {"chinchilla": len(high)} == {"chinchilla": len(refits)}
    assert found.notes == []
    for name, refit in zip(high, refits, strict=True):
        densities = per_loss(refit.log_likelihood, runs).sel(run=name).to_numpy()
        assert float(score.elpd_i.sel(run=name)) == pytest.approx(log_mean(densities), abs=1e-5)
    assert not (score.pareto_k > score.good_k).any()


def test_whole_runs_are_left_out_and_dealt_to_few_refits(tiny_posterior, monkeypatch):
    """A run is all its checkpoints on all languages. Made-up densities: those of r0, r2 and r3 vary too much."""
    runs = two_languages()
    curves = [f"r{number // 2}:{language}" for number in range(10) for language in (["sw", "en"][number % 2],)]
    spread = np.array([{"r0": 3.0, "r2": 4.0, "r3": 3.0}.get(label[:2], 0.1) for label in curves])
    draws = xr.DataArray(
        np.random.default_rng(0).normal(size=(2, 50, 10)) * spread, {"run": curves}, ["chain", "draw", "run"]
    )
    tree = tiny_posterior.draws.assign({"log_likelihood": xr.DataTree(draws.to_dataset(name="log_loss"))})
    asked = []

    def without(table, model, *, curves, **settings):
        asked.extend(curves)
        return [Without(draws * 0 + 1.5, [f"check_{number}"]) for number in range(len(curves))]

    monkeypatch.setattr("bayes_atlas.validation.loo.fit", lambda *_, **settings: replace(tiny_posterior, draws=tree))
    monkeypatch.setattr("bayes_atlas.validation.loo.fit_without", without)
    found = leave_one_out(runs, ["chinchilla"], refits=2)
    assert found.high_k == {"chinchilla": ["r0", "r2", "r3"]}
    assert asked == [["r0:sw", "r0:en", "r3:sw", "r3:en"], ["r2:sw", "r2:en"]]
    assert (found.n_runs, found.n_rows, found.refits) == (5, 20, {"chinchilla": 2})
    assert found.failed_checks == {"chinchilla": ["check_0", "check_1"]}
    assert "chinchilla: importance sampling is unreliable for 3 runs, and 2 refits left out several" in found.notes[0]
    log_loss = np.log(runs["loss"].to_numpy())[runs["run"].to_numpy() == "r2"].sum()
    elpd = found.scores["chinchilla"].elpd_i
    assert float(elpd.sel(run="r2")) == pytest.approx(2 * 1.5 - log_loss)  # two curves, per unit of loss
    kept = draws.isel(run=np.array([label[:2] == "r1" for label in curves])).sum("run")
    own = np.log(runs["loss"].to_numpy())[runs["run"].to_numpy() == "r1"].sum()
    assert float(elpd.sel(run="r1")) == pytest.approx(-log_mean(-kept.to_numpy()) - own, abs=0.01)


def error(densities):
    """Monte Carlo standard error of a log mean density, of log densities ``(chain, draw)``."""
    density = np.exp(densities - densities.max())
    return density.std() / density.mean() / np.sqrt(float(az.ess(density, method="mean")))


@pytest.mark.slow
def test_scores_are_those_of_exact_refits(runs, found):
    """Each run left out by a fit of its own; both sides have a Monte Carlo error, of about the size of this fit's."""
    names = runs["run"].to_numpy().tolist()
    again = fit_without(runs, "chinchilla", curves=[[name] for name in names], **QUICK)
    score = found.scores["chinchilla"]
    for name, each in zip(names, again, strict=True):
        densities = per_loss(each.log_likelihood, runs).sel(run=name).to_numpy()
        exact = log_mean(densities)
        assert float(score.elpd_i.sel(run=name)) == pytest.approx(exact, abs=5 * np.sqrt(2) * error(densities)), name


def test_a_summary_adds_up(found):
    score = found.scores["chinchilla"]
    summary = found.summary("chinchilla")
    assert found.n_runs == found.n_rows == 10
    assert summary["elpd"] == pytest.approx(float(score.elpd_i.sum()))
    assert (summary["elpd_diff"], summary["dse"]) == (0, 0)
    assert found.weights() == {"chinchilla": 1.0}
    assert 1 < summary["p_loo"] < 10


def test_mistakes_are_found_before_anything_is_sampled(runs):
    with pytest.raises(InputError, match="there is no model to compare; name one, such as atlas"):
        leave_one_out(runs, [])
    with pytest.raises(InputError, match="the baseline huber is a point fit, without a posterior for leave-one-out"):
        leave_one_out(runs, ["chinchilla", "huber"])
    with pytest.raises(InputError, match="model transfer is fitted to pairs"):
        leave_one_out(runs, ["transfer"])
    with pytest.raises(InputError, match="refits is 0; it must be at least 1"):
        leave_one_out(runs, ["chinchilla"], refits=0)
    with pytest.raises(InputError, match="has a single run, so none would be left to fit; add runs"):
        leave_one_out(runs.isel(row=[0]), ["chinchilla"])
    with pytest.raises(InputError, match="runs has no curve 'r10'; name some of: r0, r1"):
        fit_without(runs, "chinchilla", curves=[["r1"], ["r10"]], **QUICK)
