"""The start of the chains: the posterior's mode given its pooling scales, with the curvature there as first metric.

Each round computes the curvature and runs L-BFGS in the coordinates that it whitens. It then moves the pooling scales
to the values that the offsets suggest (an EM step), since they have no useful joint mode with the parameters that they
pool. Once both have settled, the curvature is computed again, with each parameter non-centred as far as the runs are
uninformative about it. The search is one compiled program without host code, so that it can find the starts of many
data sets at once.

If many languages have no more rows than parameters, noise has no useful joint mode either. The density is highest at
zero noise, where the posterior has no mass and chains get stuck. A wall keeps the search away from zero noise; a
language with many rows can cross it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_atlas.sampler.centring import Centring
from bayes_atlas.sampler.layout import Layout
from bayes_atlas.sampler.lbfgs import Potential, minimise
from bayes_atlas.sampler.metric import Curvature, Metric

ROUNDS = 15
SETTLED = 0.1  # the search ends at smaller moves, of the mode in standard deviations and of a log scale
NARROWER, WIDER = 4.0, 2.0  # largest move of a log scale down and up from its prior's centre
# The wall is QUIETER below the prior's centre and has curvature WALL: 25 informative rows go one e-fold past it.
QUIETER, WALL = 1.0, 25.0


class Start(NamedTuple):
    """The start of sampling."""

    metric: Metric
    centring: Centring
    coupling: jax.Array  # departure of languages from independence given the globals; 0 if independent


class _State(NamedTuple):
    vector: jax.Array
    centring: Centring
    metric: Metric
    coupling: jax.Array
    settled: jax.Array
    finished: jax.Array
    rounds: jax.Array


def find_start(apart: Callable[[jax.Array, Centring], jax.Array], initial: jax.Array, layout: Layout) -> Start:
    """Find the start of a posterior with potential ``apart(v, centring)``, searching from `initial`."""

    noise = np.flatnonzero(np.isin(layout.coordinates, layout.noise))
    least = initial[noise] - QUIETER

    def step(state: _State) -> _State:
        def potential(vector: jax.Array) -> jax.Array:
            return apart(vector, state.centring)

        curvature, coupling = _curvature(potential, state.vector, layout)
        metric = curvature.metric(state.vector)
        finished = state._replace(metric=metric, finished=jnp.asarray(True))
        searching = _hold(curvature, layout).metric(state.vector)

        def walled(vector: jax.Array) -> jax.Array:
            return potential(vector) + WALL / 2 * (jnp.maximum(least - vector[noise], 0.0) ** 2).sum()

        vector, moved = _descend(walled, searching, layout)
        scales = _em_step(searching, vector, initial, layout)
        settled = (moved < SETTLED) & (jnp.abs(scales - vector).max() < SETTLED)
        settled = settled | (state.rounds + 1 >= ROUNDS)
        diagonal = jnp.diagonal(curvature.own, axis1=-2, axis2=-1)
        centring = Centring.of(layout, scales, jnp.diag(curvature.shared), diagonal)
        goes_on = _State(
            vector=scales,
            centring=jax.tree.map(lambda new, old: jnp.where(settled, new, old), centring, state.centring),
            metric=metric,
            coupling=coupling,
            settled=settled,
            finished=jnp.asarray(False),
            rounds=state.rounds + 1,
        )
        return jax.tree.map(lambda last, next_: jnp.where(state.settled, last, next_), finished, goes_on)

    nowhere = jnp.asarray(False)
    begun = _State(
        vector=initial,
        centring=Centring.none(layout),
        metric=_identity(initial, layout),
        coupling=jnp.zeros((), initial.dtype),
        settled=nowhere,
        finished=nowhere,
        rounds=jnp.zeros((), int),
    )
    found = jax.lax.while_loop(lambda state: ~state.finished, step, begun)
    return Start(found.metric, found.centring, found.coupling)


def _identity(centre: jax.Array, layout: Layout) -> Metric:
    slope = jnp.zeros((layout.languages, layout.block, layout.width))
    own = jnp.tile(jnp.eye(layout.block), (layout.languages, 1, 1))
    return Metric(centre, jnp.eye(layout.width), slope, own)


def _descend(potential: Potential, metric: Metric, layout: Layout) -> tuple[jax.Array, jax.Array]:
    """Run L-BFGS in the coordinates of `metric`, pooling scales fixed; return its end and its largest move in z."""
    free = np.ones(layout.size)
    free[layout.scales] = 0.0
    z = minimise(lambda z: potential(metric.apply(z * free, layout)), jnp.zeros_like(metric.centre))
    return metric.apply(z * free, layout), jnp.abs(z * free).max()


def _curvature(potential: Potential, vector: jax.Array, layout: Layout) -> tuple[Curvature, jax.Array]:
    """Return the Hessian, and its relative error along one direction that moves every language differently.

    The Hessian takes one column for each global, and one for each local of all languages at once.
    """
    width, block = layout.width, layout.block
    differently = np.random.default_rng(0).normal(size=(layout.languages, block))
    directions = np.zeros((width + block + 1, layout.size))
    directions[:width, :width] = np.eye(width)
    directions[width : width + block, width:] = np.tile(np.eye(block), layout.languages)
    directions[width + block, width:] = differently.reshape(-1)
    gradient = jax.grad(potential)
    columns = jax.lax.map(
        lambda direction: jax.jvp(gradient, (vector,), (direction,))[1], jnp.asarray(directions, vector.dtype)
    )
    shared = columns[:width, :width]
    by_language = columns[:, width:].reshape(len(directions), layout.languages, block)
    mixed = jnp.moveaxis(by_language[:width], 0, -1)
    own = _symmetric(jnp.moveaxis(by_language[width : width + block], 0, -1))
    expected = jnp.einsum("lpq,lq->lp", own, jnp.asarray(differently, own.dtype))
    error = jnp.abs(by_language[width + block] - expected).max(initial=0.0)
    coupling = error / jnp.maximum(jnp.abs(expected).max(initial=0.0), 1.0)
    return Curvature(_symmetric(shared), mixed, own), coupling


def _symmetric(matrix: jax.Array) -> jax.Array:
    return (matrix + matrix.mT) / 2


def _hold(curvature: Curvature, layout: Layout) -> Curvature:
    """Return the curvature with pooling scales fixed: their own curvature is 1, their mixed curvature 0."""
    held = np.zeros(layout.width, dtype=bool)
    held[layout.scales] = True
    either = held[:, None] | held
    shared = jnp.where(either, jnp.diag(held.astype(float)), curvature.shared)
    return Curvature(shared, jnp.where(held, 0.0, curvature.mixed), curvature.own)


def _em_step(metric: Metric, vector: jax.Array, initial: jax.Array, layout: Layout) -> jax.Array:
    """Set pooling scales to the root mean square of the offsets, including the uncertainty of their members."""
    shared, own = layout.split(vector)
    variance = (metric.shared**2).sum(axis=-1)
    variance_own = (metric.own**2).sum(axis=-1) + (metric.slope**2).sum(axis=-1)
    for pool in layout.pools.values():
        members = np.array(pool.members)
        values, uncertain = (own, variance_own) if pool.local else (shared, variance)
        offsets = values[..., members] - (0.0 if pool.location is None else shared[pool.location])
        scale = 0.5 * jnp.log(jnp.mean(offsets**2 + uncertain[..., members]))
        middle = initial[pool.scale]
        shared = shared.at[pool.scale].set(jnp.clip(scale, middle - NARROWER, middle + WIDER))
    return jnp.concatenate([shared, own.reshape(-1)])
