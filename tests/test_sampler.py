"""The sampling driver, against posteriors that are known."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.errors import InputError
from bayes_atlas.sampler import (
    BLOCK,
    PHASES,
    Centring,
    Density,
    Settings,
    find_start,
    sample,
)

CHAINS, DRAWS = 4, 1000
LEAST_ESS = 400


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


# A conjugate model: normal coefficients, normal noise


def regression(design, loss=None):
    coefficients = numpyro.sample("coefficients", dist.Normal(0.0, 2.0).expand([design.shape[1]]).to_event(1))
    numpyro.deterministic("total", coefficients.sum())
    with numpyro.plate("run", design.shape[0]):
        numpyro.sample("loss", dist.Normal(design @ coefficients, 0.5), obs=loss)


@pytest.fixture(scope="module")
def regression_data():
    rng = np.random.default_rng(0)
    design = np.column_stack([np.ones(30), rng.normal(size=(30, 3))])
    design[:, 3] += 0.95 * design[:, 2]  # strongly correlated coefficients
    design[:, 1] *= 100  # of very different scales
    return {"design": design}, design @ [1.0, 0.02, -1.0, 0.5] + 0.5 * rng.normal(size=30)


@pytest.fixture(scope="module")
def regression_truth(regression_data):
    """Mean and covariance of the exact posterior."""
    covariates, loss = regression_data
    design = covariates["design"]
    covariance = np.linalg.inv(design.T @ design / 0.25 + np.eye(4) / 4)
    return covariance @ design.T @ loss / 0.25, covariance


@pytest.fixture(scope="module")
def regression_draws(regression_data):
    reports = []
    settings = Settings(CHAINS, 300, DRAWS, seed=3)
    return sample(regression, regression_data, settings, reports.append), reports, settings


def assert_agrees(draws, mean, sd):
    """Mean and sd of `draws` ``(chain, draw)`` are those, within five Monte Carlo errors; with enough draws to tell."""
    bulk = float(az.ess(draws, method="bulk"))
    assert bulk > LEAST_ESS
    assert abs(draws.mean() - mean) < 5 * sd / np.sqrt(bulk)
    squares = float(az.ess((draws - mean) ** 2, method="bulk"))
    spread = ((draws - mean) ** 2).std()
    assert abs(((draws - mean) ** 2).mean() - sd**2) < 5 * spread / np.sqrt(squares)


def test_draws_have_the_moments_of_a_known_posterior(regression_draws, regression_truth):
    draws, *_ = regression_draws
    mean, covariance = regression_truth
    assert draws.sites["coefficients"].shape == (CHAINS, DRAWS, 4)
    for index in range(4):
        assert_agrees(draws.sites["coefficients"][..., index], mean[index], np.sqrt(covariance[index, index]))
    assert_agrees(draws.sites["total"], mean.sum(), np.sqrt(covariance.sum()))


def test_nothing_went_wrong_on_a_gaussian(regression_draws):
    draws, *_ = regression_draws
    assert not draws.stats["diverging"].any()
    assert float(az.rhat(draws.sites["total"])) < 1.01
    assert draws.stats["n_steps"].mean() < 8  # whitened: few steps reach across


def test_log_likelihood_is_of_each_run(regression_draws, regression_data):
    draws, *_ = regression_draws
    covariates, loss = regression_data
    expected = scipy.stats.norm(draws.sites["coefficients"] @ covariates["design"].T, 0.5).logpdf(loss)
    np.testing.assert_allclose(draws.log_likelihood, expected, rtol=1e-9)


def test_sites_are_described(regression_draws):
    draws, *_ = regression_draws
    assert set(draws.sites) == {"coefficients", "total"}
    assert draws.dims == {"coefficients": [], "total": []}
    assert set(draws.stats) == {
        *("lp", "energy", "n_steps", "tree_depth", "acceptance_rate", "step_size", "diverging"),
    }
    assert all(values.shape == (CHAINS, DRAWS) for values in draws.stats.values())
    depth = draws.stats["tree_depth"]
    np.testing.assert_array_equal(depth, np.floor(np.log2(draws.stats["n_steps"])) + 1)


def test_progress_is_reported_after_each_block(regression_draws):
    draws, reports, settings = regression_draws
    total = settings.warmup + settings.draws
    assert [report.done for report in reports] == list(range(BLOCK, total + 1, BLOCK))
    assert all(report.total == total and report.gradients >= 1 for report in reports)
    assert [report.warming for report in reports] == [True] * (settings.warmup // BLOCK) + [False] * (DRAWS // BLOCK)
    assert reports[-1].divergences == draws.stats["diverging"].sum()


def test_the_start_is_the_mode_and_its_exact_curvature(regression_data, regression_truth):
    data = jax.tree.map(jnp.asarray, regression_data)
    metric, centring = find_start(Density(regression, data), data)
    mean, covariance = regression_truth
    np.testing.assert_allclose(metric.centre, mean, atol=1e-6)
    np.testing.assert_allclose(metric.factor, np.linalg.cholesky(covariance), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(centring.weight, 0)


def test_directions_of_no_curvature_get_a_wide_step_and_no_more(regression_data):
    def flat(design, loss=None):
        regression(design, loss)
        numpyro.sample("free", dist.Normal(0.0, 1e4))

    data = jax.tree.map(jnp.asarray, regression_data)
    density = Density(flat, data)
    metric, _ = find_start(density, data)
    free = density.coordinates.tolist().index("free")
    assert metric.factor[free, free] == pytest.approx(2)


# Seeds, chains, devices


def test_the_same_seed_gives_the_same_draws(regression_data, regression_draws):
    draws, _, settings = regression_draws
    again = sample(regression, regression_data, settings)
    for name, values in draws.sites.items():
        np.testing.assert_array_equal(again.sites[name], values)
    for one, other in combinations(draws.sites["total"], 2):
        assert not np.isclose(one, other, rtol=1e-9).all()


ON_DEVICES = """
import json, sys
import jax, numpy as np, numpyro, numpyro.distributions as dist
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
jax.config.update("jax_enable_x64", True)
from bayes_atlas.sampler import Settings, sample

def model(x, loss=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("run", len(x)):
        numpyro.sample("loss", dist.Normal(mean * x, 1.0), obs=loss)

draws = sample(model, ({"x": np.array([1.0, 2.0])}, np.array([0.5, 1.5])), Settings(2, 150, 50, seed=5))
print(json.dumps([len(jax.devices()), draws.sites["mean"].tolist()]))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_devices_share_the_chains_without_changing_them():
    results = {}
    for devices in (1, 2):
        finished = subprocess.run(
            [sys.executable, "-c", ON_DEVICES, str(devices)], capture_output=True, text=True, timeout=300
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        used, means = json.loads(finished.stdout)
        assert used == devices
        results[devices] = means
    np.testing.assert_allclose(results[1], results[2], rtol=1e-6)


# A hierarchy that is a funnel: eight schools (Rubin 1981), whose populations the data hardly determine

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(errors, loss=None):
    location = numpyro.sample("theta_location", dist.Normal(0.0, 5.0))
    scale = numpyro.sample("theta_scale", dist.HalfNormal(5.0))
    with numpyro.plate("school", len(errors)):
        theta = numpyro.sample("theta", dist.Normal(location, scale))
        numpyro.sample("loss", dist.Normal(theta, errors), obs=loss)


@pytest.fixture(scope="module")
def schools_draws():
    return sample(schools, ({"errors": ERRORS}, EFFECTS), Settings(CHAINS, 600, 1500, seed=0, target_accept=0.95))


@dataclass(frozen=True)
class Quadrature:
    """The posterior of the schools on a grid of the scale; given it, location and effects are normal."""

    scale: np.ndarray  # (grid,)
    probability: np.ndarray  # (grid,)
    moments: dict[str, tuple[np.ndarray, np.ndarray]]  # mean and sd by site


@pytest.fixture(scope="module")
def schools_truth():
    scale = np.linspace(1e-4, 40, 8001)
    precision = 1 / (ERRORS**2 + scale[:, None] ** 2)
    variance = 1 / (precision.sum(axis=1) + 1 / 25)
    mean = variance * (precision * EFFECTS).sum(axis=1)
    log_density = scipy.stats.halfnorm(scale=5).logpdf(scale) + 0.5 * np.log(precision).sum(axis=1)
    log_density += 0.5 * np.log(variance) - 0.5 * ((precision * EFFECTS**2).sum(axis=1) - mean**2 / variance)
    probability = np.exp(log_density - scipy.special.logsumexp(log_density))
    shrinkage = ERRORS**2 * precision  # weight of the location in each school's effect
    theta = shrinkage * mean[:, None] + (1 - shrinkage) * EFFECTS
    theta_variance = ERRORS**2 * (1 - shrinkage) + shrinkage**2 * variance[:, None]

    def overall(conditional_mean, conditional_variance):
        first = probability @ conditional_mean
        return first, np.sqrt(probability @ (conditional_variance + conditional_mean**2) - first**2)

    moments = {
        "theta_scale": overall(scale, np.zeros_like(scale)),
        "theta_location": overall(mean, variance),
        "theta": overall(theta, theta_variance),
    }
    return Quadrature(scale, probability, moments)


def test_a_funnel_is_sampled_without_divergences(schools_draws):
    assert not schools_draws.stats["diverging"].any()
    for name in ("theta_location", "theta_scale"):
        assert float(az.rhat(schools_draws.sites[name])) < 1.01


def test_a_funnel_has_the_moments_that_quadrature_gives(schools_draws, schools_truth):
    for name in ("theta_scale", "theta_location"):
        assert_agrees(schools_draws.sites[name], *schools_truth.moments[name])
    for school in range(8):
        mean, sd = schools_truth.moments["theta"]
        assert_agrees(schools_draws.sites["theta"][..., school], mean[school], sd[school])


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_a_funnel_is_followed_to_its_neck(schools_draws, schools_truth, limit):
    truth = schools_truth.probability[schools_truth.scale < limit].sum()
    below = (schools_draws.sites["theta_scale"] < limit).astype(float)
    ess = float(az.ess(below, method="bulk"))
    assert ess > LEAST_ESS
    assert abs(below.mean() - truth) < 5 * np.sqrt(truth * (1 - truth) / ess)


def test_pooled_parameters_are_sampled_apart_from_their_scale(schools_draws):
    data = {"errors": jnp.asarray(ERRORS)}, jnp.asarray(EFFECTS)
    density = Density(schools, data)
    _, centring = find_start(density, data)
    pooled = density.coordinates == "theta"
    assert (np.asarray(centring.weight)[pooled] > 0.5).all()  # the schools say little
    assert (np.asarray(centring.weight)[~pooled] == 0).all()
    assert schools_draws.dims == {"theta_location": [], "theta_scale": [], "theta": ["school"]}

    sharp = {"errors": jnp.full(8, 0.1)}, jnp.asarray(EFFECTS)
    _, centring = find_start(Density(schools, sharp), sharp)
    assert (np.asarray(centring.weight)[pooled] < 0.01).all()  # now they say all


# Centring


@st.composite
def centrings(draw):
    """One population of `members`, with or without a location, and one coordinate that is not pooled."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    members, located = 3, draw(st.booleans())
    size = members + 3  # scale, location, members, another
    location, scale = np.zeros(size, dtype=int), np.zeros(size, dtype=int)
    is_located, weight = np.zeros(size), np.zeros(size)
    inside = np.arange(2, 2 + members)
    location[inside], is_located[inside] = 1, float(located)
    weight[inside] = rng.uniform(0, 1, members) if draw(st.booleans()) else draw(st.sampled_from([0.0, 1.0]))
    start = np.where(weight > 0, rng.normal(), 0.0)
    centring = Centring(*map(jnp.asarray, (location, scale, is_located, weight, start)))
    return centring, jnp.asarray(rng.normal(size=size)), inside


@settings(deadline=None, max_examples=30)
@given(drawn=centrings())
def test_centring_is_a_bijection_with_the_jacobian_it_states(drawn):
    with jax.enable_x64(True):
        centring, v, inside = drawn
        u, log_determinant = centring.apply(v)
        sign, expected = np.linalg.slogdet(jax.jacobian(lambda v: centring.apply(v)[0])(v))
        assert sign == 1
        assert log_determinant == pytest.approx(expected, abs=1e-10)

        centre = np.where(np.asarray(centring.located) > 0, u[1], 0.0)
        stretch = np.asarray(centring.weight) * (u[0] - np.asarray(centring.start))
        np.testing.assert_allclose(centre + (u - centre) * np.exp(-stretch), v, rtol=1e-10, atol=1e-10)
        outside = np.setdiff1d(np.arange(len(v)), inside)
        np.testing.assert_array_equal(u[outside], v[outside])


def test_centring_none_changes_nothing():
    v = jnp.arange(4.0)
    u, log_determinant = Centring.none(4).apply(v)
    np.testing.assert_array_equal(u, v)
    assert log_determinant == 0


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "chains is 0; it must be at least 1"),
        ({"warmup": 100}, "warmup is 100; it must be at least 150 and a multiple of 50"),
        ({"warmup": 160}, "warmup is 160; it must be at least 150 and a multiple of 50"),
        ({"draws": 0}, "draws is 0; it must be at least 50 and a multiple of 50"),
        ({"draws": 75}, "draws is 75; it must be at least 50 and a multiple of 50"),
        ({"target_accept": 1.0}, r"target_accept is 1.0; it must lie in \[.5, 1\), such as .9"),
        ({"target_accept": float("nan")}, "target_accept is nan"),
        ({"max_tree_depth": 0}, "max_tree_depth is 0; it must lie between 1 and 15, such as 10"),
        ({"max_tree_depth": 16}, "max_tree_depth is 16"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Settings(**settings)


@given(blocks=st.integers(PHASES, 100))
def test_phases_sum_to_the_warm_up(blocks):
    phases = Settings(warmup=blocks * BLOCK).phases
    assert sum(phases) == blocks * BLOCK
    assert len(phases) == PHASES
    assert all(length >= BLOCK and length % BLOCK == 0 for length in phases)
    assert phases[0] >= phases[-1]
