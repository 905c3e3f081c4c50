"""Quick fits: the density is that of the model, and intervals are those of NUTS."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from numpyro.infer.util import potential_energy

from bayes_atlas import fit, load_posterior, read_runs
from bayes_atlas.catalogue import load_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.observations.curves import arrange
from bayes_atlas.validation.influence import influence
from bayes_atlas.validation.laplace import Problem, laplace


def table(sizes, runs, checkpoints=1, seed=0, noise=0.005):
    """Runs of the Chinchilla law on one language, with tokens apart from sizes."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(runs):
        params = np.geomspace(1e8, 3e9, sizes)[number % sizes]
        for part in np.linspace(0, 1, checkpoints + 1)[1:]:
            rows.append({"run": f"r{number}", "language": "en", "params": params, "tokens": part * 1e10})
        total = 10 ** rng.uniform(9.3, 11.3)
        for row in rows[-checkpoints:]:
            row["tokens"] *= total / 1e10
    frame = pd.DataFrame(rows)
    law = {"E": 1.7, "A": 0.4, "B": 0.4, "alpha": 0.36, "beta": 0.33}
    expected = chinchilla.loss(frame["params"].to_numpy() / 1e9, frame["tokens"].to_numpy() / 2e10, **law)
    return frame.assign(loss=expected * np.exp(noise * rng.standard_t(4, len(frame))))


def of_model(runs):
    """The model's log density of sites, up to a constant, in double precision."""
    data = arrange(runs, ["params", "tokens", "curves"])
    arguments = data.covariates | {"loss": jnp.asarray(data.loss)}
    model = load_model("chinchilla").model
    return lambda sites: -potential_energy(model, (), arguments, sites)


@pytest.mark.parametrize("checkpoints", [1, 3])
def test_the_density_is_that_of_the_model(checkpoints):
    runs = runs_from_frame(table(4, 12, checkpoints))
    problem = Problem.of(runs)
    rng = np.random.default_rng(1)
    states = problem.start + rng.normal(size=(5, len(problem.coordinates))) * 0.3
    with jax.enable_x64(True):
        density, theirs = of_model(runs), []
        for state in states:
            values = dict(zip(problem.coordinates, state, strict=True))
            shared = {
                name if name in ("kappa_stage", "memory") else f"{name}_location": jnp.asarray(value)
                for name, value in values.items()
            }
            theirs.append(float(density(shared)))
    ours = problem.log_density(states)
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-9, atol=1e-7)


def test_effects_of_sizes_are_integrated_out():
    """The density with 8 sizes is the integral of the model's density over their effects, by simulation."""
    runs = runs_from_frame(table(8, 16))
    problem = Problem.of(runs)
    rng = np.random.default_rng(1)
    states = problem.start + rng.normal(size=(2, len(problem.coordinates))) * 0.05
    with jax.enable_x64(True):
        of_sites = of_model(runs)

        def density(state, effects):
            values = dict(zip(problem.coordinates, state, strict=True))
            spread = values.pop("size_effect_scale")
            sites = {f"{name}_location": value for name, value in values.items()}
            sites |= {"size_effect_scale": spread, "size_effect": jnp.exp(spread) * effects}
            return of_sites(sites)

        theirs = []
        nodes = np.random.default_rng(2).normal(size=(40_000, 8))
        for state in states:
            # The model's density of effects is normal with sd exp(spread): draws from it weigh the likelihood.
            logs = np.asarray(jax.vmap(lambda each, state=state: density(state, each))(nodes))
            prior = -(nodes**2).sum(axis=1) / 2 - 8 * state[-1]
            theirs.append(np.log(np.exp(logs - prior - (logs - prior).max()).mean()) + (logs - prior).max())
    ours = problem.log_density(states)
    assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], abs=0.1)


@pytest.mark.parametrize(("sizes", "checkpoints"), [(4, 1), (9, 1), (4, 3)])
def test_intervals_are_those_of_nuts(sizes, checkpoints):
    """Ends within a tenth of the interval's width; draws alone account for about 3 %."""
    runs = runs_from_frame(table(sizes, 40, checkpoints))
    drawn = laplace(runs).draws(4000)
    assert drawn.reliable
    exact = fit(runs, "chinchilla", chains=4, draws=2000, law_error=False).parameters("en")
    for name in ("E", "A", "B", "alpha", "beta"):
        lower, _, upper = drawn.quantile(drawn.parameters[name])
        ends = np.quantile(exact[name], [0.05, 0.95])
        np.testing.assert_allclose([lower, upper], ends, atol=0.1 * np.ptp(ends), err_msg=name)


def test_the_published_runs_are_fitted_as_they_ship(data_folder):
    runs, exact = read_runs(data_folder / "chinchilla.csv"), load_posterior("chinchilla-2022").parameters("en")
    drawn = laplace(runs).draws(4000)
    assert drawn.reliable
    for name in ("E", "A", "B", "alpha", "beta"):
        lower, _, upper = drawn.quantile(drawn.parameters[name])
        ends = np.quantile(exact[name], [0.05, 0.95])
        np.testing.assert_allclose([lower, upper], ends, atol=0.1 * np.ptp(ends), err_msg=name)


def test_a_fit_that_is_not_reliable_says_so():
    """A proposal around the wrong place has weights with a heavy tail."""
    found = laplace(runs_from_frame(table(4, 40)))
    astray = replace(found, mode=found.mode + 6 * found.root.sum(axis=1), root=found.root / 4)
    assert astray.draws(2000).pareto_k > 0.7
    assert not astray.draws(2000).reliable


def test_several_languages_are_refused():
    frame = pd.concat([table(3, 6), table(3, 6).assign(language="sw")])
    with pytest.raises(InputError, match="has 2 languages, and quick fits are of one; select one language"):
        laplace(runs_from_frame(frame))


def test_influence_is_what_refits_without_a_run_show():
    """Of the most influential run, within 10 % of the interval's width; draws alone account for about 3 %."""
    frame = table(4, 24)
    found = influence(runs_from_frame(frame), compute=1e21)
    assert (len(found.table), found.notes) == (24, [])
    most = found.table.iloc[0]
    logs = []
    for rows in (frame, frame[frame["run"] != most.name]):
        posterior = fit(runs_from_frame(rows), "chinchilla", draws=2000, law_error=False)
        drawn, references = posterior.parameters("en"), posterior.info.references["en"]
        budget = 1e21 / (6 * references["params"] * references["tokens"])
        params, _ = chinchilla.optimum(budget, **{name: drawn[name] for name in ("A", "B", "alpha", "beta")})
        logs.append(np.log(params * references["params"]))
    width = np.ptp(np.quantile(logs[0], [0.05, 0.95]))
    shift = (np.median(logs[1]) - np.median(logs[0])) / width
    assert abs(most["shift"]) > 0.15
    assert most["shift"] == pytest.approx(shift, abs=0.1)
    np.testing.assert_allclose(np.log(found.interval), np.quantile(logs[0], [0.05, 0.95]), atol=0.1 * width)


@pytest.mark.parametrize("compute", [-1, np.nan, np.inf])
def test_a_budget_that_is_none_is_refused(compute):
    with pytest.raises(InputError, match="it must be a positive number of FLOPs"):
        influence(runs_from_frame(table(4, 24)), compute=compute)
