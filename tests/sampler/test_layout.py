"""Where parameters stand in the vector."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

from bayes_atlas.modelling.pooling import pooled, pooled_from
from bayes_atlas.observations.curves import Curves, Group
from bayes_atlas.sampler.layout import Layout, Pool, prior_centre


def curves_of(languages):
    index, steps = np.arange(languages), np.zeros((languages, 1))
    return Curves(
        language=Group.of(index),
        size=Group.of(0 * index),
        size_weight=np.float64(0.0),
        together=None,
        observed=steps == 0,
        stage=steps,
        epochs=None,
        age=None,
    )


def hierarchy(covariates, loss=None):
    """Pooled over languages, pooled over their sources around zero, neither, and a matrix of globals."""
    curves = covariates["curves"]
    numpyro.sample("matrix", dist.Normal(jnp.zeros((2, 2)), 1.0).to_event(2))
    rate = pooled("rate", curves, dist.Normal(0.3, 1.0), 0.5, support=constraints.positive)
    pooled("tau", curves, dist.Normal(0.0, 1.0), 0.5, sources=2)
    numpyro.sample("around_zero_scale", dist.HalfNormal(2.0))
    with numpyro.plate("language", curves.languages):
        numpyro.sample("around_zero", dist.Normal(0.0, 1.0), infer=pooled_from(None, "around_zero_scale"))
        numpyro.deterministic("twice", 2 * rate)
    with numpyro.plate("run", curves.languages):
        numpyro.sample("loss", dist.Normal(rate, 1.0), obs=loss)


@pytest.fixture
def data():
    return {"curves": curves_of(3)}, np.array([1.0, 2.0, 3.0])


@pytest.fixture
def layout(data):
    return Layout.of(hierarchy, data)


def test_globals_come_first_and_then_a_block_for_each_language(layout):
    assert [site.name for site in layout.globals] == [
        *("around_zero_scale", "matrix", "rate_location", "rate_scale", "tau_location", "tau_scale"),
    ]
    assert [site.name for site in layout.locals] == ["around_zero", "rate", "tau"]
    assert (layout.languages, layout.width, layout.block, layout.size) == (3, 9, 4, 21)
    assert layout.places[1:5] == [("matrix", index) for index in np.ndindex(2, 2)]
    assert layout.places[9:13] == [("around_zero", (0,)), ("rate", (0,)), ("tau", (0, 0)), ("tau", (0, 1))]
    assert layout.places[20] == ("tau", (2, 1))
    assert layout.coordinates.tolist() == [name for name, _ in layout.places]


def test_ravel_puts_every_value_at_its_place_and_unravel_takes_it_from_there(layout):
    values = {site.name: np.random.default_rng(0).normal(size=site.shape) for site in layout.sites}
    vector = layout.ravel(values)
    for place, (name, index) in zip(vector, layout.places, strict=True):
        assert place == values[name][index]
    again = layout.unravel(vector)
    assert set(again) == set(values)
    for name, value in again.items():
        np.testing.assert_array_equal(value, values[name])
    shared, own = layout.split(vector)
    np.testing.assert_array_equal(jnp.concatenate([shared, own.reshape(-1)]), vector)
    np.testing.assert_array_equal(own[:, 1], values["rate"])


def test_pools_are_those_that_declare_their_population(layout):
    names = layout.coordinates.tolist()
    rate, tau = names.index("rate_scale"), names.index("tau_scale")
    assert layout.pools == {
        "around_zero": Pool((0,), True, None, names.index("around_zero_scale")),
        "rate": Pool((1,), True, names.index("rate_location"), rate),
        "tau": Pool((2, 3), True, names.index("tau_location"), tau),
    }
    assert layout.scales == sorted([names.index("around_zero_scale"), rate, tau])


def test_a_parameter_called_like_a_scale_makes_no_pool():
    def model(covariates, loss=None):
        numpyro.sample("x_location", dist.Normal(0.0, 1.0))
        numpyro.sample("x_scale", dist.HalfNormal(1.0))
        with numpyro.plate("language", 3):
            x = numpyro.sample("x", dist.Normal(0.0, 1.0))
            numpyro.sample("sigma", dist.HalfNormal(1.0))
        with numpyro.plate("run", 3):
            numpyro.sample("loss", dist.Normal(x, 1.0), obs=loss)

    found = Layout.of(model, ({}, np.array([1.0, 2.0, 3.0])))
    assert found.pools == {}
    assert found.scales == []
    assert found.noise == ()


def test_noise_declares_itself_and_does_so_where_one_language_is_its_population():
    def model(covariates, loss=None):
        pooled("spread", covariates["curves"], dist.Normal(0.0, 1.0), 0.5, noise=True)

    several, single = (Layout.of(model, ({"curves": curves_of(count)}, None)) for count in (3, 1))
    assert several.noise == ("spread",)
    assert single.noise == ("spread_location",)


def test_dimensions_are_named_for_their_plates_outermost_first(layout):
    dims = dict(layout.dims)
    assert dims["tau"] == ("language", "source")
    assert dims["twice"] == dims["rate"] == ("language",)
    assert dims["matrix"] == dims["rate_scale"] == ()


def test_without_blocks_everything_is_global(data):
    layout = Layout.of(hierarchy, data, blocks=False)
    assert (layout.languages, layout.block, layout.width) == (0, 0, 21)
    assert layout.pools["rate"].members == tuple(np.flatnonzero(layout.coordinates == "rate"))
    assert not layout.pools["rate"].local
    values = {site.name: np.random.default_rng(0).normal(size=site.shape) for site in layout.sites}
    for name, value in layout.unravel(layout.ravel(values)).items():
        np.testing.assert_array_equal(value, values[name])


def test_a_single_language_has_no_block():
    layout = Layout.of(hierarchy, ({"curves": curves_of(1)}, np.ones(1)))
    assert (layout.languages, layout.block) == (0, 0)


def test_a_layout_is_found_by_what_it_is(data, layout):
    """Programs are found by it: it is the same for other data of the same shape."""
    covariates, loss = data
    assert hash(Layout.of(hierarchy, (covariates, loss + 1))) == hash(layout)
    assert Layout.of(hierarchy, (covariates, loss + 1)) == layout
    assert Layout.of(hierarchy, ({"curves": curves_of(2)}, loss[:2])) != layout


def test_the_middle_of_a_prior_is_its_mean_or_where_a_transform_takes_it(layout, data):
    vector = prior_centre(hierarchy, layout, jax.random.key(0), data)
    values = layout.unravel(vector)
    np.testing.assert_allclose(values["rate_location"], 0.3)
    np.testing.assert_allclose(values["rate"], 0.3)  # log of the median
    np.testing.assert_allclose(values["rate_scale"], np.log(0.6 * 0.5))
    np.testing.assert_allclose(values["around_zero_scale"], np.log(2 * np.sqrt(2 / np.pi)))
    np.testing.assert_array_equal(values["matrix"], 0.0)
