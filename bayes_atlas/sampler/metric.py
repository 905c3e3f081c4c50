"""The metric: an affine map under which the posterior is near a standard normal.

``globals = centre + F z``, and for each language ``locals = centre + C z + D z'``. Given the globals, languages are
independent, so their covariance has one block per language. With few globals this metric is as good as a dense matrix,
and its cost grows with the number of languages, not with its square. Without languages it *is* the dense matrix.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from bayes_atlas.arrays import Array
from bayes_atlas.sampler.layout import Layout

LEAST_CURVATURE = 0.25  # least curvature of a direction, in units where priors are of order one
FARTHEST = 2.0  # largest shift of a slope by its shrinkage, in standard errors of the slope


class Metric(NamedTuple):
    """The affine map, as arrays. Leading axes are data sets."""

    centre: Array  # (dimension,)
    shared: Array  # F (width, width), lower triangular
    slope: Array  # C (languages, block, width)
    own: Array  # D (languages, block, block), lower triangular

    def apply(self, z: jax.Array, layout: Layout) -> jax.Array:
        """Return the vector at `z`."""
        shared, own = layout.split(z)
        moved = self.shared @ shared
        if not layout.languages:
            return self.centre + moved
        blocks = (self.slope.reshape(-1, layout.width) @ shared).reshape(own.shape)
        blocks = blocks + (self.own * own[:, None, :]).sum(axis=-1)
        return self.centre + jnp.concatenate([moved, blocks.reshape(-1)])

    def invert(self, vector: jax.Array, layout: Layout) -> jax.Array:
        """Return the z of a vector."""
        shared, own = layout.split(vector - self.centre)
        z = solve_triangular(self.shared, shared, lower=True)
        if not layout.languages:
            return z
        residual = own - (self.slope @ z)
        blocks = solve_triangular(self.own, residual[..., None], lower=True)
        return jnp.concatenate([z, blocks.reshape(-1)])


class Curvature(NamedTuple):
    """The Hessian of a density whose languages are independent given the globals."""

    shared: Array  # (width, width)
    mixed: Array  # (languages, block, width)
    own: Array  # (languages, block, block)

    def metric(self, centre: jax.Array) -> Metric:
        """Return the metric whose covariance is the inverse Hessian, with at least `LEAST_CURVATURE` in each direction.

        A direction of negative curvature counts with its absolute value.
        """
        if not self.own.shape[0]:
            return Metric(centre, _factor(self.shared), self.mixed, self.own)
        covariance = _inverse(self.own)
        regression = -covariance @ self.mixed  # of a language's locals on the globals
        shared = _factor(self.shared + jnp.einsum("lpg,lph->gh", self.mixed, regression))
        return Metric(centre, shared, regression @ shared, jnp.linalg.cholesky(covariance))


def _inverse(curvature: jax.Array) -> jax.Array:
    values, directions = jnp.linalg.eigh(curvature)
    return (directions / jnp.maximum(jnp.abs(values), LEAST_CURVATURE)[..., None, :]) @ directions.mT


def _factor(curvature: jax.Array) -> jax.Array:
    return jnp.linalg.cholesky(_inverse(curvature))


def refine(metric: Metric, z: np.ndarray, layout: Layout) -> tuple[Metric, np.ndarray]:
    """Estimate the metric from draws `z` ``(chain, draw, dimension)``, with shrinkage towards `metric`.

    Returns:
        The metric, and the last draws in its coordinates ``(chain, dimension)``.
    """
    draws = z.reshape(-1, z.shape[-1])
    weight = len(draws) / (len(draws) + 2 * (layout.width + layout.block))
    mean = draws.mean(axis=0)
    away, last = _split(draws - mean, layout), _split(z[:, -1] - mean, layout)
    centre, shared, slope, own = (np.asarray(part) for part in metric)

    covariance = weight * away[0].T @ away[0] / len(draws) + (1 - weight) * np.eye(layout.width)
    with_locals = weight * np.einsum("ng,nlp->lgp", *away, optimize=True) / len(draws)
    regression = np.linalg.solve(covariance, with_locals).mT  # of a language's locals on the globals
    within = weight * np.einsum("nlp,nlq->lpq", away[1], away[1], optimize=True) / len(draws)
    within = within + (1 - weight) * np.eye(layout.block) - regression @ with_locals
    unexplained = np.maximum(np.diagonal(within, axis1=1, axis2=2), 1 - weight)  # lower by rounding only
    variance = weight * unexplained[..., None] * np.diag(np.linalg.inv(covariance)) / len(draws)
    chance = _chance(regression, np.sqrt(variance))
    regression, within = regression - chance, within + chance @ covariance @ chance.mT
    first, second = _lower(covariance, 1 - weight), _lower(within, 1 - weight)

    begun = np.linalg.solve(first, last[0].T).T
    residual = last[1] - np.einsum("lpg,cg->clp", regression, last[0])
    begun_own = np.linalg.solve(second, residual[..., None]).reshape(len(last[0]), -1)
    mean_shared, mean_own = _split(mean[None], layout)
    moved_own = mean_shared[0] @ slope.mT + (own @ mean_own[0, ..., None])[..., 0]
    refined = Metric(
        centre + np.concatenate([shared @ mean_shared[0], moved_own.reshape(-1)]),
        shared @ first,
        (slope + own @ regression) @ first,
        own @ second,
    )
    return refined, np.concatenate([begun, begun_own], axis=1)


def _chance(slopes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the part of slopes ``(languages, block, width)`` that shrinkage removes, given their standard errors.

    Each global has a slope for every language, and the errors of all slopes add up to a wall on both sides of it. In
    units of their errors, slopes are shrunk by a factor common to all languages (James and Stein 1961), but by at most
    `FARTHEST` errors (limited translation: Efron and Morris 1972). A slope beyond doubt therefore stays.
    """
    free = max(len(slopes) - 2, 0)
    away = slopes / errors
    return errors * np.clip(away * free / np.maximum((away**2).sum(axis=0), max(free, 1)), -FARTHEST, FARTHEST)


def _lower(covariance: np.ndarray, least: float) -> np.ndarray:
    """Return the lower triangular factor of matrices whose eigenvalues are at least `least`, up to rounding.

    The Cholesky factorisation fails if draws of one dimension are so far off that rounding hides the others' spread.
    """
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, directions = np.linalg.eigh(covariance)
        root = np.linalg.qr(np.sqrt(np.maximum(values, least))[..., None] * directions.mT).R
        return root.mT * np.where(np.diagonal(root, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None, :]


def _split(vectors: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Split vectors into globals ``(n, width)`` and locals ``(n, languages, block)``."""
    own = vectors[:, layout.width :].reshape(len(vectors), layout.languages, layout.block)
    return vectors[:, : layout.width], own
