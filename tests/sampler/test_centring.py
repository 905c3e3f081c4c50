"""Sampling pooled parameters apart from their scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.sampler.centring import Centring
from bayes_atlas.sampler.layout import Layout, Population, Site

LANGUAGES = 3
POOLED = ("apart", "own")


def layout_of(*, located):
    """A pool of locals and a pool of globals, with or without locations, and one parameter of each kind in no pool."""
    globals_ = {"apart": (2,), "apart_scale": (), "free": (), "own_scale": ()}
    globals_ |= {"apart_location": (), "own_location": ()} if located else {}
    locals_ = {"own": (LANGUAGES, 2), "plain": (LANGUAGES,)}
    sites = [Site(name, shape, name in locals_) for name, shape in sorted((globals_ | locals_).items())]
    populations = [(name, Population(f"{name}_location" if located else None, f"{name}_scale")) for name in POOLED]
    return Layout(tuple(sites), LANGUAGES, (), tuple(populations), ())


LAYOUTS = {located: layout_of(located=located) for located in (False, True)}


@st.composite
def centrings(draw):
    """A layout, a centring with weights that are all 0, all 1 or between, and a vector."""
    layout = LAYOUTS[draw(st.booleans())]
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    weights = (
        rng.uniform(0, 1, layout.size)
        if draw(st.booleans())
        else np.full(layout.size, draw(st.sampled_from([0.0, 1.0])))
    )
    pooled = np.isin(layout.coordinates, list(layout.pools))
    shared, own = layout.split(np.where(pooled, weights, 0.0))
    centring = Centring(jnp.asarray(shared), jnp.asarray(own), jnp.asarray(rng.normal(size=layout.width)))
    return layout, centring, jnp.asarray(rng.normal(size=layout.size))


@settings(deadline=None, max_examples=30)
@given(drawn=centrings())
def test_centring_is_a_bijection_with_the_jacobian_it_states(drawn):
    with jax.enable_x64(True):
        layout, centring, v = drawn
        u, log_determinant = centring.apply(v, layout)
        sign, expected = np.linalg.slogdet(jax.jacobian(lambda v: centring.apply(v, layout)[0])(v))
        assert sign == 1
        assert log_determinant == pytest.approx(expected, abs=1e-10)
        np.testing.assert_allclose(centring.invert(u, layout), v, rtol=1e-10, atol=1e-10)
        outside = ~np.isin(layout.coordinates, list(layout.pools))
        np.testing.assert_array_equal(u[outside], v[outside])


@settings(deadline=None, max_examples=30)
@given(drawn=centrings())
def test_a_member_stands_from_its_location_as_far_as_its_scale_says(drawn):
    with jax.enable_x64(True):
        layout, centring, v = drawn
        before, after = layout.unravel(v), layout.unravel(centring.apply(v, layout)[0])
        weights = layout.unravel(jnp.concatenate([centring.shared, centring.own.reshape(-1)]))
        start = layout.unravel(jnp.pad(centring.start, (0, layout.size - layout.width)))
        for name in layout.pools:
            location = before.get(f"{name}_location", 0.0)
            stretch = np.exp(weights[name] * (before[f"{name}_scale"] - start[f"{name}_scale"]))
            np.testing.assert_allclose(after[name], location + (before[name] - location) * stretch, rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=["around zero", "located"])
def test_centring_none_changes_nothing(layout):
    v = jnp.arange(float(layout.size))
    u, log_determinant = Centring.none(layout).apply(v, layout)
    np.testing.assert_array_equal(u, v)
    assert log_determinant == 0


def test_weights_are_the_priors_share_of_the_curvature():
    layout = LAYOUTS[True]
    values = {site.name: np.zeros(site.shape) for site in layout.sites}
    mode = layout.ravel(values | {"apart_scale": np.log(0.5), "own_scale": np.log(2.0)})
    own = np.array([[1.0, 0.5, 7.0], [0.25, 0.1, 7.0], [-1.0, 1e6, 7.0]])  # (language, own own plain)
    shared = np.where(layout.coordinates[: layout.width] == "apart", 16.0, 3.0)
    centring = Centring.of(layout, mode, jnp.asarray(shared), jnp.asarray(own))
    np.testing.assert_allclose(centring.own, [[0.25, 0.5, 0], [1, 1, 0], [0.25, 0.25e-6, 0]], rtol=1e-9)
    np.testing.assert_allclose(centring.shared, np.where(shared == 16, 4 / 16, 0))
    np.testing.assert_array_equal(centring.start, mode[: layout.width])


@pytest.mark.parametrize("datasets", [(), (2,)], ids=["one", "data sets"])
def test_reversed_flips_the_weights_of_the_named_pools(datasets):
    layout = LAYOUTS[False]
    shared, own = np.full((*datasets, layout.width), 0.2), np.full((*datasets, LANGUAGES, layout.block), 0.3)
    centring = Centring(shared, own, np.zeros(layout.width))
    only_own = centring.reversed(layout, ["own"])
    np.testing.assert_array_equal(only_own.shared, shared)
    np.testing.assert_allclose(only_own.own[..., :2], 0.7)
    np.testing.assert_array_equal(only_own.own[..., 2:], 0.3)  # in no pool
    both = centring.reversed(layout, {"own", "apart"})
    members = layout.coordinates[: layout.width] == "apart"
    np.testing.assert_allclose(both.shared[..., members], 0.8)
    np.testing.assert_array_equal(both.shared[..., ~members], 0.2)
    again = both.reversed(layout, {"own", "apart"})
    np.testing.assert_allclose(again.own, own)
    np.testing.assert_array_equal(centring.own, 0.3)  # it is a new one


def test_a_smaller_scale_leaves_less_to_the_runs(schools_by_language, schools_data, start_of):
    """Of each parameter what the runs say beside the prior stays, and so does where all are."""
    layout, start = start_of(schools_by_language, schools_data)
    (pool,) = layout.pools.values()
    centring = Centring(*map(np.asarray, start.centring))
    begun, scales = centring.start[pool.scale], np.array(centring.start)
    scales[pool.scale] = begun - np.log(3.0)
    narrow = centring.rescaled(scales, layout)
    members = list(pool.members)
    before, after = ((part.own if pool.local else part.shared)[..., members] for part in (centring, narrow))
    runs = (1 / before - 1) * np.exp(-2 * begun)  # curvature that the runs add to the prior's
    np.testing.assert_allclose(after, 1 / (1 + runs * np.exp(2 * scales[pool.scale])), rtol=1e-9)
    assert (after >= before).all()
    assert narrow.start[pool.scale] == scales[pool.scale]
    np.testing.assert_array_equal(narrow.rescaled(centring.start, layout).start, centring.start)


def test_weights_of_nothing_and_all_stay(schools_by_language, schools_data, start_of):
    layout, _ = start_of(schools_by_language, schools_data)
    for weight in (0.0, 1.0):
        own = np.full((layout.languages, layout.block), weight)
        centring = Centring(np.zeros(layout.width), own, np.zeros(layout.width))
        rescaled = centring.rescaled(np.full(layout.width, -2.0), layout)
        np.testing.assert_array_equal(rescaled.own, own)
