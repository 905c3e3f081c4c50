"""Sampling pooled parameters apart from their population."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.sampler.centring import Centring, Part
from bayes_atlas.sampler.layout import Layout, Site
from bayes_atlas.sampler.metric import Curvature

LANGUAGES = 3


def layout_of(*, located):
    """A pool of locals and a pool of globals, with or without locations, and one parameter of each kind in no pool."""
    globals_ = {"apart": (2,), "apart_scale": (), "free": (), "own_scale": ()}
    globals_ |= {"apart_location": (), "own_location": ()} if located else {}
    locals_ = {"own": (LANGUAGES, 2), "plain": (LANGUAGES,)}
    sites = [Site(name, shape, name in locals_) for name, shape in sorted((globals_ | locals_).items())]
    return Layout(tuple(sites), LANGUAGES, ())


LAYOUTS = {located: layout_of(located=located) for located in (False, True)}


def along_of(layout, rng):
    """Locals that go along with those before them, in an order of each language's own."""
    triangular = np.eye(layout.block) + np.tril(rng.normal(size=(LANGUAGES, layout.block, layout.block)), -1)
    orders = [rng.permutation(layout.block) for _ in triangular]
    return np.stack([each[order][:, order] for each, order in zip(triangular, orders, strict=True)])


def curvature_of(layout, shared, covariance):
    """Of globals of these curvatures, and locals of this covariance given these."""
    mixed = jnp.zeros((layout.languages, layout.block, layout.width))
    return Curvature(jnp.diag(jnp.asarray(shared)), mixed, jnp.linalg.inv(jnp.asarray(covariance)))


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
    pairs = zip(*map(layout.split, (np.where(pooled, weights, 0.0), rng.normal(size=layout.size))), strict=True)
    parts = [Part(jnp.asarray(weight), jnp.asarray(origin)) for weight, origin in pairs]
    along = along_of(layout, rng) if draw(st.booleans()) else np.tile(np.eye(layout.block), (LANGUAGES, 1, 1))
    centring = Centring(*parts, jnp.asarray(along), jnp.asarray(rng.normal(size=layout.width)))
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
        np.testing.assert_allclose(centring.invert(u, layout), v, rtol=1e-8, atol=1e-8)
        outside = ~np.isin(layout.coordinates[: layout.width], list(layout.pools))
        np.testing.assert_array_equal(u[: layout.width][outside], v[: layout.width][outside])


@settings(deadline=None, max_examples=30)
@given(drawn=centrings())
def test_at_the_population_of_the_start_nothing_moves_but_what_goes_along(drawn):
    with jax.enable_x64(True):
        layout, centring, v = drawn
        v = jnp.concatenate([centring.start, v[layout.width :]])
        u, log_determinant = centring.apply(v, layout)
        assert log_determinant == pytest.approx(0, abs=1e-12)
        away = layout.split(v)[1] - centring.own.origin
        expected = centring.own.origin + np.einsum("lpq,lq->lp", centring.along, away)
        np.testing.assert_allclose(layout.split(u)[1], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("scale", "location"), [(0.8, 1.0), (2.0, 1.0), (2.0, -3.0), (30.0, 0.4)])
def test_of_a_normal_posterior_neither_mean_nor_spread_hangs_on_the_scale(scale, location):
    """One pooled local that the runs tie to one in no pool: normal given the population, whatever that is."""
    with jax.enable_x64(True):
        globals_ = [Site(name, (), False) for name in ("own_location", "own_scale")]
        layout = Layout((*globals_, Site("own", (2,), True), Site("plain", (2,), True)), 2, ())
        told = np.array([[[4.0, 5.0], [5.0, 9.0]], [[100.7, -100.0], [-100.0, 100.5]]])  # precision, by language
        best = np.array([[1.0, -0.5], [2.0, 3.0]])

        def given_population(location, scale):
            prior = np.diag([scale**-2, 0.0])
            covariance = np.linalg.inv(told + prior)
            mean = covariance @ (told @ best[..., None] + (prior @ [location, 0.0])[:, None])
            return mean[..., 0], covariance

        def apart(location, scale):
            mean, covariance = given_population(location, scale)
            population = jnp.array([location, np.log(scale)])

            def v_of(own):
                return centring.invert(jnp.concatenate([population, own.reshape(-1)]), layout)[2:].reshape(2, 2)

            slope = np.asarray(jax.jacobian(v_of)(jnp.asarray(mean)))[[0, 1], :, [0, 1]]
            return np.asarray(v_of(jnp.asarray(mean))), slope @ covariance @ slope.mT

        begun = (0.3, 0.8)
        mode, covariance = given_population(*begun)
        vector = jnp.concatenate([jnp.array([begun[0], np.log(begun[1])]), jnp.asarray(mode).reshape(-1)])
        centring = Centring.of(layout, vector, curvature_of(layout, np.ones(2), covariance))
        first, spread = apart(location, begun[1])
        mean, covariance = apart(location, scale)
        np.testing.assert_allclose(mean, first, rtol=1e-9)
        np.testing.assert_allclose(covariance, spread, rtol=1e-9, atol=1e-12)


def test_towards_small_scales_a_member_does_not_shrink_by_more_than_the_power_of_its_weight():
    layout = LAYOUTS[False]
    weight = np.array([[0.0, 0.3, 0.0], [1.0, 0.7, 0.0], [0.5, 0.5, 0.0]])
    with jax.enable_x64(True):
        none = Centring.none(layout)
        centring = none._replace(own=Part(jnp.asarray(weight), none.own.origin))
        at = layout.coordinates[: layout.width].tolist().index("own_scale")
        v = jnp.ones(layout.size).at[at].set(np.log(0.1))
        u = layout.split(centring.apply(v, layout)[0])[1]
    np.testing.assert_allclose(u[:, :2], 0.1 ** weight[:, :2], rtol=1e-12)


@pytest.mark.parametrize("datasets", [(), (2,)], ids=["one", "data sets"])
def test_anchored_elsewhere_it_is_the_same_normal_posterior(datasets):
    """At the new population the weight is the prior's share there, and the origin is the mean there."""
    layout = LAYOUTS[True]
    globals_ = layout.coordinates[: layout.width].tolist()
    scale, location = globals_.index("own_scale"), globals_.index("own_location")
    told, best, begun, wanted = 4.0, 1.5, (0.3, 0.8), (-1.0, 0.2)  # precision and estimate; location, scale

    def population(location_, scale_):
        values = np.zeros((*datasets, layout.width))
        values[..., location], values[..., scale] = location_, np.log(scale_)
        return values

    def expected(location_, scale_):
        share = scale_**-2 / (scale_**-2 + told)
        return share, share * location_ + (1 - share) * best

    def part(share, origin):
        weights, origins = np.zeros((2, *datasets, LANGUAGES, layout.block))
        weights[..., :2], origins[..., :2] = share, origin
        return Part(weights, origins)

    nothing = np.zeros((*datasets, layout.width))
    centring = Centring(Part(nothing, nothing), part(*expected(*begun)), np.eye(layout.block), population(*begun))
    moved = centring.anchored(population(*wanted), layout)
    for found, there in zip(moved.own, part(*expected(*wanted)), strict=True):
        np.testing.assert_allclose(found, there, rtol=1e-12)
    np.testing.assert_array_equal(moved.start, population(*wanted))
    back = moved.anchored(population(*begun), layout)
    for found, there in zip(back.own, centring.own, strict=True):
        np.testing.assert_allclose(found, there, rtol=1e-12)


@pytest.mark.parametrize("wider", [-20.0, 5.0, 12.0])
def test_in_single_precision_members_that_hang_on_their_prior_alone_are_finite(wider):
    layout = LAYOUTS[True]
    with jax.enable_x64(False):
        weight = np.where(np.isin(layout.coordinates, list(layout.pools)), 1, 0).astype(np.float32)
        shared, own = (Part(each, 0 * each) for each in layout.split(weight))
        centring = Centring(shared, own, np.eye(layout.block, dtype=np.float32), np.zeros(layout.width, np.float32))
        rng = np.random.default_rng(0)
        for _ in range(20):
            centring = centring.anchored(rng.normal(size=layout.width).astype(np.float32), layout)
            assert centring.own.weight.max() <= 1
            v = np.ones(layout.size, np.float32)
            v[layout.scales] = wider + centring.start[layout.scales]
            u, log_determinant = centring.apply(jnp.asarray(v), layout)
            assert np.isfinite(u).all() and np.isfinite(log_determinant)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=["around zero", "located"])
def test_a_weight_of_one_is_non_centred(layout):
    pooled = np.isin(layout.coordinates, list(layout.pools)).astype(float)
    with jax.enable_x64(True):
        none = Centring.none(layout)
        shared, own = (
            Part(jnp.asarray(weight), part.origin)
            for weight, part in zip(layout.split(pooled), (none.shared, none.own), strict=True)
        )
        v = jnp.asarray(np.random.default_rng(0).normal(size=layout.size))
        before = layout.unravel(v)
        after = layout.unravel(none._replace(shared=shared, own=own).apply(v, layout)[0])
        for name in layout.pools:
            location, scale = before.get(f"{name}_location", 0.0), np.exp(before[f"{name}_scale"])
            np.testing.assert_allclose(after[name], location + scale * (before[name] - location), rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=["around zero", "located"])
def test_centring_none_changes_nothing(layout):
    v = jnp.arange(float(layout.size))
    u, log_determinant = Centring.none(layout).apply(v, layout)
    np.testing.assert_array_equal(u, v)
    assert log_determinant == 0


def test_weights_are_the_priors_share_of_what_is_known():
    layout = LAYOUTS[True]
    values = {site.name: np.zeros(site.shape) for site in layout.sites}
    mode = layout.ravel(values | {"apart_scale": np.log(0.5), "own_scale": np.log(2.0)})
    variance = np.array([[1.0, 2.0, 7.0], [4.0, 10.0, 7.0], [1.0, 1e-6, 7.0]])  # (language, own own plain)
    shared = np.where(layout.coordinates[: layout.width] == "apart", 16.0, 3.0)
    covariance = variance[..., None] * np.eye(3)
    centring = Centring.of(layout, mode, curvature_of(layout, shared, covariance))
    np.testing.assert_allclose(centring.own.weight, [[0.25, 0.5, 0], [1, 1, 0], [0.25, 0.25e-6, 0]], rtol=1e-6)
    np.testing.assert_allclose(centring.along, np.tile(np.eye(3), (3, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(centring.shared.weight, np.where(shared == 16, 4 / 16, 0))
    np.testing.assert_array_equal(centring.start, mode[: layout.width])


def test_the_looser_is_followed_by_the_tighter():
    """Two of a pool and one of none: each goes along with those that the prior holds more of what is known of."""
    layout = LAYOUTS[True]
    mode = jnp.zeros(layout.size)  # scales of 1
    covariance = np.array([[0.2, 0.1, 0.3], [0.1, 0.9, 0.4], [0.3, 0.4, 2.0]])
    centring = Centring.of(layout, mode, curvature_of(layout, np.ones(layout.width), np.tile(covariance, (3, 1, 1))))
    left = 0.2 - 0.1**2 / 0.9  # of the first, given the second
    np.testing.assert_allclose(centring.own.weight[0], [left, 0.9, 0], rtol=1e-5)
    follows = (0.3 - 0.1 * 0.4 / 0.9) / left
    expected = [[1, 0.1 / 0.9, 0], [0, 1, 0], [follows, 0.4 / 0.9, 1]]  # the last is of no pool: none follows it
    np.testing.assert_allclose(centring.along[0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("datasets", [(), (2,)], ids=["one", "data sets"])
def test_reversed_flips_the_weights_of_the_named_pools(datasets):
    layout = LAYOUTS[False]
    shared, own = np.full((*datasets, layout.width), 0.2), np.full((*datasets, LANGUAGES, layout.block), 0.3)
    parts = Part(shared, shared), Part(own, np.full_like(own, 0.5))
    centring = Centring(*parts, np.eye(layout.block), np.zeros(layout.width))
    only_own = centring.reversed(layout, ["own"])
    np.testing.assert_array_equal(only_own.shared.weight, shared)
    np.testing.assert_allclose(only_own.own.weight[..., :2], 0.7)
    np.testing.assert_array_equal(only_own.own.weight[..., 2:], 0.3)  # in no pool
    both = centring.reversed(layout, {"own", "apart"})
    members = layout.coordinates[: layout.width] == "apart"
    np.testing.assert_allclose(both.shared.weight[..., members], 0.8)
    np.testing.assert_array_equal(both.shared.weight[..., ~members], 0.2)
    again = both.reversed(layout, {"own", "apart"})
    np.testing.assert_allclose(again.own.weight, own)
    np.testing.assert_array_equal(both.own.origin[..., :2], 0.0)  # around the location, here zero
    np.testing.assert_array_equal(both.own.origin[..., 2:], 0.5)
    np.testing.assert_array_equal(centring.own.weight, 0.3)  # it is a new one
