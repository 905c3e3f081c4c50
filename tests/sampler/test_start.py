"""Where chains start: the mode, the curvature there, and how far apart pooled parameters are sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.sampler.driver import COUPLED
from bayes_atlas.sampler.lbfgs import minimise
from bayes_atlas.sampler.start import QUIETER, WALL

# L-BFGS


def rosenbrock(z):
    return (100 * (z[1::2] - z[::2] ** 2) ** 2 + (1 - z[::2]) ** 2).sum()


@pytest.mark.parametrize("dimension", [2, 10])
def test_the_minimum_of_a_curved_valley_is_found(dimension):
    found = minimise(rosenbrock, jnp.full(dimension, -1.0))
    np.testing.assert_allclose(found, 1, atol=1e-3)


minimise_quadratic = jax.jit(
    lambda matrix, mode, start: minimise(lambda z: 0.5 * (z - mode) @ matrix @ (z - mode), start)
)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), condition=st.floats(1, 1e4))
def test_the_minimum_of_a_quadratic_is_found(seed, condition):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        axes, _ = np.linalg.qr(rng.normal(size=(6, 6)))
        mode, start = rng.normal(size=(2, 6))
        found = minimise_quadratic(axes @ np.diag(np.geomspace(1, condition, 6)) @ axes.T, mode, start)
        np.testing.assert_allclose(found, mode, atol=6e-3)  # the gradient is below 1e-3, the least curvature is 1


ROUGH = {
    "walls": lambda z: jnp.where(jnp.abs(z).max() > 2, jnp.nan, (jnp.sin(3 * z) + 0.1 * z**2).sum()),
    "a kink": lambda z: jnp.abs(z - 0.3).sum() + 0.1 * jnp.abs(z).max(),
    "no floor": lambda z: -jnp.log(jnp.maximum(z + 5, 1e-300)).sum(),
    "a maximum": lambda z: -jnp.exp(-(z**2).sum()),
    "steep": lambda z: jnp.exp(z**2).sum(),
}
minimise_rough = {name: jax.jit(lambda start, f=function: minimise(f, start)) for name, function in ROUGH.items()}


@settings(deadline=None, max_examples=30)
@given(name=st.sampled_from(list(ROUGH)), start=st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_no_function_is_worse_where_the_search_ends(name, start):
    with jax.enable_x64(True):
        begun = jnp.asarray(start)
        assert ROUGH[name](minimise_rough[name](begun)) <= ROUGH[name](begun)


def test_a_minimum_is_left_alone():
    np.testing.assert_array_equal(minimise(lambda z: (z**2).sum(), jnp.zeros(3)), 0)


# The mode and its curvature


def test_the_start_is_the_mode_and_its_exact_curvature(regression, regression_data, regression_truth, start_of):
    layout, start = start_of(regression, regression_data)
    mean, covariance = regression_truth(regression_data)
    assert layout.languages == 0
    np.testing.assert_allclose(start.metric.centre, mean, atol=1e-6)
    np.testing.assert_allclose(start.metric.shared, np.linalg.cholesky(covariance), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(start.centring.shared, 0)
    assert start.coupling == 0


def order(layout):
    """Places of common, the levels, the slopes."""
    names = layout.coordinates
    return np.concatenate([np.flatnonzero(names == name) for name in ("common", "level", "slope")])


@pytest.mark.parametrize("blocks", [True, False])
def test_blocks_are_as_exact_as_the_dense_matrix(languages, languages_data, languages_truth, start_of, blocks):
    layout, start = start_of(languages, languages_data, blocks=blocks)
    mean, covariance = languages_truth()
    metric = start.metric
    factor = np.stack([metric.apply(axis, layout) - metric.centre for axis in jnp.eye(layout.size)], axis=1)
    places = order(layout)
    assert layout.languages == (3 if blocks else 0)
    np.testing.assert_allclose(metric.centre[places], mean, atol=1e-6)
    np.testing.assert_allclose((factor @ factor.T)[np.ix_(places, places)], covariance, rtol=1e-6, atol=1e-9)


def test_languages_that_are_tied_are_found_out(languages, tied, languages_data, start_of):
    _, start = start_of(languages, languages_data)
    assert start.coupling < 1e-9
    _, start = start_of(tied, languages_data)
    assert start.coupling > 100 * COUPLED
    _, start = start_of(tied, languages_data, blocks=False)
    assert start.coupling == 0


def test_directions_of_no_curvature_get_a_wide_step_and_no_more(regression, regression_data, start_of):
    def flat(covariates, loss=None):
        regression(covariates, loss)
        numpyro.sample("free", dist.Normal(0.0, 1e4))

    layout, start = start_of(flat, regression_data)
    free = layout.coordinates.tolist().index("free")
    assert start.metric.shared[free, free] == pytest.approx(2)


@pytest.fixture
def lines():
    """A line and noise for each of 20 languages."""

    def model(covariates, loss=None):
        location = numpyro.sample("sigma_location", dist.Normal(jnp.log(0.01), 1.0))
        with numpyro.plate("language", 20):
            level, slope = (numpyro.sample(name, dist.Normal(0.0, 1.0)) for name in ("level", "slope"))
            sigma = numpyro.sample("sigma", dist.LogNormal(location, 0.3), infer={"noise": True})
        expected = level + slope * covariates["x"]
        numpyro.sample("loss", dist.Normal(expected, sigma), obs=loss)

    return model


def test_noise_is_not_sought_where_there_is_none(lines, start_of):
    """Languages of two rows and a line each: without noise the density has no bound."""
    rng = np.random.default_rng(0)
    data = {"x": np.array([[-1.0], [1.0]])}, rng.normal(size=(2, 20))
    layout, start = start_of(lines, data)
    noise = layout.coordinates == "sigma"
    assert np.isfinite(start.metric.own).all()
    assert (start.metric.centre[noise] > np.log(0.01) - QUIETER - 3 / WALL).all()


@pytest.mark.parametrize("sigma", [0.05, 0.0025])
def test_many_rows_get_over_the_wall(lines, start_of, sigma):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 20))
    layout, start = start_of(lines, ({"x": x}, x + sigma * rng.normal(size=(40, 20))))
    found = start.metric.centre[layout.coordinates.tolist().index("sigma_location")]
    assert found == pytest.approx(np.log(sigma), abs=0.2)


# Centring


def weights_of(start):
    """By place."""
    return np.concatenate([start.centring.shared, start.centring.own.reshape(-1)])


@pytest.mark.parametrize("plate", ["schools", "schools_by_language"])
def test_pooled_parameters_are_sampled_apart_where_the_runs_say_little(plate, schools_data, start_of, request):
    model = request.getfixturevalue(plate)
    layout, start = start_of(model, schools_data)
    pooled = layout.coordinates == "theta"
    assert layout.languages == (8 if plate == "schools_by_language" else 0)
    assert (weights_of(start)[pooled] > 0.5).all()
    assert (weights_of(start)[~pooled] == 0).all()
    _, effects = schools_data
    _, start = start_of(model, ({"errors": np.full(8, 0.1)}, effects))
    assert (weights_of(start)[pooled] < 0.01).all()  # now they say all


def test_scales_are_found_where_the_offsets_suggest(schools, schools_by_language, start_of):
    """Exact effects of spread 3: the scale that EM finds is theirs, but for a prior that it does not know."""
    effects = 3 * np.array([-1.5, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 1.5])
    for model in (schools, schools_by_language):
        layout, start = start_of(model, ({"errors": np.full(8, 1e-3)}, effects))
        scale = start.metric.centre[layout.coordinates.tolist().index("theta_scale")]
        assert np.exp(scale) == pytest.approx(effects.std(), rel=0.02)


def test_the_same_model_starts_alike_with_blocks_and_without(schools_by_language, schools_data, start_of):
    (layout, one), (_, other) = (start_of(schools_by_language, schools_data, blocks=blocks) for blocks in (True, False))
    assert layout.coordinates.tolist() == ["theta_location", "theta_scale", *["theta"] * 8]
    np.testing.assert_allclose(weights_of(one)[2:], weights_of(other)[:8], atol=0.05)
    np.testing.assert_allclose(one.metric.centre[:2], other.metric.centre[8:], atol=0.2)
