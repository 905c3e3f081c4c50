"""The metric, against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.sampler.layout import Layout, Site
from bayes_atlas.sampler.metric import LEAST_CURVATURE, Curvature, Metric, refine


def layout_of(width, languages, block):
    own = (Site("local", (languages, block), True),) if languages else ()
    return Layout((Site("shared", (width,), False), *own), languages, (), (), ())


LAYOUTS = [layout_of(4, 0, 0), layout_of(1, 2, 1), layout_of(3, 4, 2), layout_of(2, 3, 5)]
every_layout = st.sampled_from(LAYOUTS)
seeds = st.integers(0, 2**31)


def random_arrow(layout, rng):
    """A positive definite Hessian in which languages meet only through the globals."""
    width, block = layout.width, layout.block
    dense = np.zeros((layout.size, layout.size))
    for language in range(max(layout.languages, 1)):
        own = width + language * block + np.arange(block)
        places = np.concatenate([np.arange(width), own])
        root = rng.normal(size=(len(places), len(places)))
        dense[np.ix_(places, places)] += root @ root.T + np.eye(len(places))
    return dense


def curvature_of(dense, layout):
    """Its blocks."""
    width, languages, block = layout.width, layout.languages, layout.block
    rows = dense[width:].reshape(languages, block, layout.size)
    own = [rows[number, :, width + number * block :][:, :block] for number in range(languages)]
    return Curvature(
        jnp.asarray(dense[:width, :width]),
        jnp.asarray(rows[..., :width]),
        jnp.asarray(np.reshape(own, (languages, block, block))),
    )


def matrix_of(metric, layout):
    """The metric as one matrix."""
    centre = metric.apply(jnp.zeros(layout.size), layout)
    return np.stack([metric.apply(axis, layout) - centre for axis in jnp.eye(layout.size)], axis=1)


def random_metric(layout, rng):
    metric = curvature_of(random_arrow(layout, rng), layout).metric(jnp.asarray(rng.normal(size=layout.size)))
    return Metric(*map(np.asarray, metric))


@settings(deadline=None, max_examples=20)
@given(layout=every_layout, seed=seeds)
def test_apply_and_invert_are_inverses(layout, seed):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        metric = random_metric(layout, rng)
        z = jnp.asarray(rng.normal(size=layout.size))
        np.testing.assert_allclose(metric.invert(metric.apply(z, layout), layout), z, atol=1e-9)
        np.testing.assert_allclose(metric.apply(metric.invert(z, layout), layout), z, atol=1e-9)
        np.testing.assert_allclose(metric.apply(jnp.zeros(layout.size), layout), metric.centre)


@settings(deadline=None, max_examples=20)
@given(layout=every_layout, seed=seeds)
def test_the_metric_of_a_curvature_has_its_inverse_as_covariance(layout, seed):
    with jax.enable_x64(True):
        dense = random_arrow(layout, np.random.default_rng(seed))
        factor = matrix_of(curvature_of(dense, layout).metric(jnp.zeros(layout.size)), layout)
        np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(dense), atol=1e-10)
        np.testing.assert_array_equal(np.triu(factor, 1), 0)


@pytest.mark.parametrize("curvature", [0.0, 1e-3, -1e-3])
def test_a_direction_of_no_or_wrong_curvature_gets_a_wide_step_and_no_more(curvature):
    for layout in LAYOUTS:
        dense = np.eye(layout.size)
        dense[0, 0] = dense[-1, -1] = curvature
        factor = matrix_of(curvature_of(dense, layout).metric(jnp.zeros(layout.size)), layout)
        widest = LEAST_CURVATURE**-0.5
        np.testing.assert_allclose(np.diag(factor), [widest, *np.ones(layout.size - 2), widest])


@pytest.mark.parametrize("layout", LAYOUTS, ids=["dense", "two", "four", "wide blocks"])
def test_refined_draws_are_white(layout):
    """Draws that the metric was not made of have no covariance but the identity, within five errors of an entry.

    False alarms: each entry less than one in a million, the 400 of all layouts together less than one in a thousand.
    """
    rng = np.random.default_rng(1)
    before, dense, count = random_metric(layout, rng), random_arrow(layout, rng), 20_000
    z = rng.multivariate_normal(rng.normal(size=layout.size), np.linalg.inv(dense), size=(2, 2, count // 2))
    refined, last = refine(before, z[0], layout)
    vectors = jax.vmap(lambda z: before.apply(z, layout))(z[1].reshape(count, layout.size))
    white = np.asarray(jax.vmap(lambda vector: refined.invert(vector, layout))(vectors))
    error = 5 * np.sqrt(2 / count + 2 / count)  # of these draws, and of those that made the metric
    shrinkage = 2 * (layout.width + layout.block) / count * np.linalg.norm(dense, 2)
    np.testing.assert_allclose(np.cov(white.T), np.eye(layout.size), atol=error + shrinkage)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=error)
    for chain, begun in enumerate(last):  # they go on from where they are, exactly
        np.testing.assert_allclose(refined.apply(begun, layout), before.apply(z[0, chain, -1], layout), atol=1e-9)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12])
def test_draws_that_are_far_off_leave_a_metric(far):
    """Chains that went up a wall after they were centred otherwise: rounding hides the spread of the rest."""
    layout = layout_of(3, 4, 2)
    rng = np.random.default_rng(0)
    before, z = random_metric(layout, rng), rng.normal(size=(2, 50, layout.size))
    z[0] *= far * rng.random(layout.size)
    z[:, :, 5] = z[:, :, 0] * far  # what one language does follows what all do
    refined, begun = refine(before, z, layout)
    assert all(np.isfinite(part).all() for part in refined) and np.isfinite(begun).all()
    assert (np.diagonal(refined.own, axis1=1, axis2=2) > 0).all() and (np.diagonal(refined.shared) > 0).all()


def regression_of(refined, before):
    """Locals on globals ``(languages, block, width)``, in the coordinates of the draws that refined a metric."""
    first = np.linalg.solve(before.shared, refined.shared)
    return np.linalg.solve(before.own, refined.slope @ np.linalg.inv(first) - before.slope)


def standard(layout):
    width, languages, block = layout.width, layout.languages, layout.block
    own = np.tile(np.eye(block), (languages, 1, 1))
    return Metric(np.zeros(layout.size), np.eye(width), np.zeros((languages, block, width)), own)


def test_a_refined_metric_keeps_what_few_draws_cannot_tell():
    """The globals, and each language's locals beside what follows them, are shrunk as far as their number warrants."""
    layout = layout_of(2, 4, 5)
    z = np.random.default_rng(2).normal(size=(2, 5, layout.size))
    before = standard(layout)
    refined, _ = refine(before, z, layout)
    weight = 10 / (10 + 2 * 7)
    away = z.reshape(10, -1) - z.reshape(10, -1).mean(axis=0)
    shared, own = away[:, :2], away[:, 2:].reshape(10, 4, 5)
    expected = weight * shared.T @ shared / 10 + (1 - weight) * np.eye(2)
    np.testing.assert_allclose(refined.shared @ refined.shared.T, expected)
    slopes = regression_of(refined, before)
    residual = own - np.einsum("lpg,ng->nlp", slopes, shared)
    expected = weight * np.einsum("nlp,nlq->lpq", residual, residual) / 10
    expected = expected + (1 - weight) * (np.eye(5) + slopes @ slopes.mT)
    np.testing.assert_allclose(refined.own @ refined.own.mT, expected)


@pytest.mark.parametrize("languages", [4, 40, 400])
def test_what_chance_alone_shows_of_many_languages_does_not_add_up(languages):
    """Given all locals a global keeps the spread that it has: errors of its slopes build no wall on its sides.

    Of independent draws, where plain regression would leave it with ``1 / (1 + languages * block / draws)`` of its
    variance: .17 at 400 languages. Measured with seeds 0 to 9: at least .90.
    """
    layout = layout_of(3, languages, 5)
    before = standard(layout)
    refined, _ = refine(before, np.random.default_rng(4).normal(size=(4, 100, layout.size)), layout)
    precision = np.einsum("lpg,lph->gh", *[np.linalg.solve(refined.own, refined.slope)] * 2)
    assert np.linalg.norm(precision, 2) < 0.1


def test_slopes_that_draws_show_are_kept():
    layout = layout_of(2, 30, 3)
    rng = np.random.default_rng(5)
    slopes = rng.normal(size=(30, 3, 2))
    shared, own = rng.normal(size=(4, 250, 2)), rng.normal(size=(4, 250, 30, 3))
    own += np.einsum("lpg,cng->cnlp", slopes, shared)
    before = standard(layout)
    refined, _ = refine(before, np.concatenate([shared, own.reshape(4, 250, -1)], axis=-1), layout)
    # Five standard errors of a slope; they are shrunk by a thousandth or two for the number of draws and chance.
    np.testing.assert_allclose(regression_of(refined, before), slopes, atol=5 / np.sqrt(1000), rtol=0.02)


@pytest.mark.parametrize("others", ["noisy", "without slopes"])
def test_a_slope_beyond_doubt_is_kept_whatever_other_languages_show(others):
    """Neither languages that are still far from rest nor those without slopes take the slopes of one."""
    layout = layout_of(2, 30, 2)
    rng = np.random.default_rng(6)
    shared, own = rng.normal(size=(4, 250, 2)), rng.normal(size=(4, 250, 30, 2))
    if others == "noisy":
        own[:, :, 1:] *= 100
    own[:, :, 0] += shared[..., :1]  # found to within .03
    before = standard(layout)
    refined, _ = refine(before, np.concatenate([shared, own.reshape(4, 250, -1)], axis=-1), layout)
    # Two standard errors at most for what others show, and four for draws: .19.
    np.testing.assert_allclose(regression_of(refined, before)[0], [[1, 0], [1, 0]], atol=6 / np.sqrt(1000))


def test_languages_are_estimated_apart():
    """What one language's draws are moves another's slopes by a factor that all have in common, and nothing else."""
    layout = layout_of(2, 3, 2)
    rng = np.random.default_rng(3)
    before, z = random_metric(layout, rng), rng.normal(size=(2, 50, layout.size))
    z[..., 2:] += np.tile(z[..., :1], 6)  # slopes that are kept
    other = z.copy()
    other[..., -2:] *= 3
    one, two = refine(before, z, layout)[0], refine(before, other, layout)[0]
    np.testing.assert_allclose(one.shared, two.shared)
    factor = regression_of(two, before)[:2, :, 0] / regression_of(one, before)[:2, :, 0]
    np.testing.assert_allclose(factor[0], factor[1])
    assert (np.abs(factor - 1) < 0.1).all()
    assert not np.allclose(one.own[2], two.own[2])
