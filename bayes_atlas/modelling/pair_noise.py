"""The likelihood of scores: pairs of directions that may be correlated, measured with error, with heavy tails.

What is a dyad's own is a bivariate Student-t, so that one odd pair widens no others and is itself believed as far as
its error allows; errors of measurement are normal and independent. The sum of the two has no closed form. With the
Student-t taken as what it is, normals of many scales, and these in steps of a factor of 2, it has one, of which any
part may be missing. Of a censored score only an upper bound is known: it counts by the probability that a measurement
lies below.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr, logsumexp, ndtr, ndtri
from numpyro.distributions import constraints
from scipy.stats import chi2

NU = 4.0  # as for runs, see `bayes_atlas.modelling.curve_noise`
STEPS = 2.0 ** np.arange(-1, 4)  # scales of the normals, in units of the Student-t's own


def _weights() -> np.ndarray:
    """Probability of each step: the squared scale is NU over a chi-square."""
    ends = np.append(np.append(0.0, STEPS[:-1] * np.sqrt(2)), np.inf)
    with np.errstate(divide="ignore"):
        return -np.diff(chi2.cdf(NU / ends**2, NU))


LOG_WEIGHTS = np.log(_weights())
# Gauss-Legendre on (0, 1), for two censored directions: within .002 of the log probability.
NODES, NODE_WEIGHTS = ((np.polynomial.legendre.leggauss(16)[part] + (1 - part)) / 2 for part in (0, 1))
FAR = -8.0  # below which a normal's tail is taken to have the shape that it has there
CANDIDATES = 64  # of a draw of two censored directions


class DyadStudentT(dist.Distribution):
    """Scores of the two directions of a dyad, measured with error; batch shape ``(dyad,)``, event shape ``(2,)``.

    Args:
        loc: ``(dyad, 2)`` expected score of each direction.
        own: ``(dyad, 2)`` scale of what is the dyad's own.
        reciprocity: correlation of that between the directions.
        error: ``(dyad, 2)`` or a number, standard deviation of the error of measurement.
        observed: ``(dyad, 2)`` whether the direction was measured.
        censored: ``(dyad, 2)`` whether what was measured is only an upper bound; None where none is.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "own": constraints.independent(constraints.positive, 1),
        "reciprocity": constraints.interval(-1, 1),
    }
    support = constraints.real_vector

    def __init__(
        self,
        loc: jax.Array,
        own: jax.Array,
        reciprocity: jax.Array,
        error: jax.Array,
        observed: jax.Array,
        censored: jax.Array | None = None,
    ) -> None:
        self.loc, self.own, self.reciprocity = loc, own, reciprocity
        self.observed, self.censored = observed, censored
        self.error = jnp.broadcast_to(error, loc.shape)
        super().__init__(batch_shape=loc.shape[:-1], event_shape=loc.shape[-1:], validate_args=False)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw measured scores of all directions."""
        of_own, of_error, of_step = jax.random.split(key, 3)
        shape = sample_shape + self.batch_shape + self.event_shape
        step = jax.random.categorical(of_step, jnp.asarray(LOG_WEIGHTS), shape=shape[:-1])
        own = _correlated(jax.random.normal(of_own, shape), *self._covariance(jnp.asarray(STEPS)[step]))
        return self.loc + own + self.error * jax.random.normal(of_error, shape)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of what was measured of each dyad: ``(dyad,)``."""
        return logsumexp(self._log_joint(value), axis=-1)

    def true_values(self, key: jax.Array, value: jax.Array) -> jax.Array:
        """A draw of the scores without errors of measurement, ``(dyad, 2)``, given what was measured of `value`."""
        of_own, of_step = jax.random.split(key)
        step = jnp.asarray(STEPS)[jax.random.categorical(of_step, self._log_joint(value))]
        if self.censored is not None:
            of_own, of_measured = jax.random.split(of_own)
            value = self._completed(of_measured, value, step)
        first, second, both = self._covariance(step)
        own = jnp.stack([jnp.stack([first, both], axis=-1), jnp.stack([both, second], axis=-1)], axis=-2)
        seen = jnp.where(self.observed[:, :, None], own, 0.0)
        total = jnp.where(self.observed[:, None, :], seen, 0.0) + self._errors()[:, :, None] * jnp.eye(2)
        weight = jnp.linalg.solve(total, seen).mT
        left = own - weight @ seen
        mean = (weight @ jnp.where(self.observed, value - self.loc, 0.0)[:, :, None])[:, :, 0]
        normal = jax.random.normal(of_own, mean.shape, mean.dtype)
        return self.loc + mean + _correlated(normal, left[:, 0, 0], left[:, 1, 1], left[:, 0, 1])

    def _log_joint(self, value: jax.Array) -> jax.Array:
        """Log density of what was measured of each dyad at each step of the scale: ``(dyad, step)``."""
        first, second, both = self._covariance(jnp.asarray(STEPS)[:, None])
        observed = self._exact()
        errors = jnp.where(observed, self.error**2, 1.0)
        first = jnp.where(observed[:, 0], first, 0.0) + errors[:, 0]
        second = jnp.where(observed[:, 1], second, 0.0) + errors[:, 1]
        both = jnp.where(observed.all(axis=-1), both, 0.0)
        residual = self._residual(value)
        determinant = first * second - both**2
        quadratic = second * residual[:, 0] ** 2 + first * residual[:, 1] ** 2
        quadratic = (quadratic - 2 * both * residual[:, 0] * residual[:, 1]) / determinant
        constant = observed.sum(axis=-1) / 2 * jnp.log(2 * jnp.pi)
        joint = jnp.asarray(LOG_WEIGHTS) - constant[:, None] - (jnp.log(determinant) + quadratic).T / 2
        return joint if self.censored is None else joint + self._log_below(value).T

    def _log_below(self, value: jax.Array) -> jax.Array:
        """Log probability, given the exact scores, that the censored ones lie below their bounds: ``(step, dyad)``."""
        (first, second), _, correlation = self._bounds(value, jnp.asarray(STEPS)[:, None])
        one, other = (log_ndtr(bound) for bound in (first, second))
        rest = jnp.sqrt(1 - correlation**2)
        given = (second[..., None] - correlation[..., None] * _below(jnp.asarray(NODES), first[..., None])) / rest[
            ..., None
        ]
        both = one + logsumexp(log_ndtr(given), b=jnp.asarray(NODE_WEIGHTS), axis=-1)
        censored = jnp.asarray(self.censored)
        single = jnp.where(censored[:, 0], one, 0.0) + jnp.where(censored[:, 1], other, 0.0)
        return jnp.where(censored.all(axis=-1), both, single)

    def _completed(self, key: jax.Array, value: jax.Array, step: jax.Array) -> jax.Array:
        """`value` with a draw of what would have been measured in place of each bound, at a scale `step` (dyad,)."""
        of_first, of_second, of_choice = jax.random.split(key, 3)
        (first, second), (spread, mean), correlation = self._bounds(value, step)
        censored = jnp.asarray(self.censored)
        tried = _below(jax.random.uniform(of_first, (len(value), CANDIDATES), minval=1e-6), first[:, None])
        rest = jnp.sqrt(1 - correlation**2)
        likely = log_ndtr((second[:, None] - correlation[:, None] * tried) / rest[:, None])
        likely = jnp.where(censored.all(axis=-1)[:, None], likely, 0.0)
        one = jnp.take_along_axis(tried, jax.random.categorical(of_choice, likely)[:, None], axis=1)[:, 0]
        shift = jnp.where(censored[:, 0], correlation * one, 0.0)
        scale = jnp.where(censored[:, 0], rest, 1.0)
        other = shift + scale * _below(jax.random.uniform(of_second, one.shape, minval=1e-6), (second - shift) / scale)
        drawn = self.loc + mean + spread * jnp.stack([one, other], axis=-1)
        return jnp.where(censored, drawn, value)

    def _bounds(
        self, value: jax.Array, step: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array], jax.Array]:
        """Of measurements of both directions at a scale `step`, each given the other where that is exact:

        `value` in standard deviations; these deviations, and means over `loc`, ``(.., dyad, 2)``; their correlation.
        """
        first, second, both = self._covariance(step)
        errors, exact, residual = self.error**2, self._exact(), self._residual(value)
        total = jnp.stack([first + errors[:, 0], second + errors[:, 1]], axis=-1)
        slope = jnp.where(exact, both[..., None] / total, 0.0)  # of the other direction, on this one
        mean = (slope * residual)[..., ::-1]
        spread = jnp.sqrt(total - (slope * both[..., None])[..., ::-1])
        standard = (value - self.loc - mean) / spread
        correlation = both / jnp.sqrt(total.prod(axis=-1))
        return (standard[..., 0], standard[..., 1]), (spread, mean), correlation

    def _exact(self) -> jax.Array:
        """Which directions were measured and not just bounded."""
        return jnp.asarray(self.observed if self.censored is None else self.observed & ~self.censored)

    def _residual(self, value: jax.Array) -> jax.Array:
        return jnp.where(self._exact(), value - self.loc, 0.0)

    def _errors(self) -> jax.Array:
        """Variances of the errors ``(dyad, 2)``; 1 where nothing was measured, which contributes nothing."""
        return jnp.where(self.observed, self.error**2, 1.0)

    def _covariance(self, step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Variances of what is the dyad's own in the two directions, and their covariance, at a scale `step`."""
        first, second = step * self.own[:, 0], step * self.own[:, 1]
        return first**2, second**2, self.reciprocity * first * second


def _below(part: jax.Array, bound: jax.Array) -> jax.Array:
    """Standard normal values below `bound`, of which a `part` lies still further below."""
    near = jnp.maximum(bound, FAR)
    return ndtri(part * ndtr(near)) + (bound - near)


def _correlated(normal: jax.Array, first: jax.Array, second: jax.Array, both: jax.Array) -> jax.Array:
    """Standard normals ``(.., 2)`` with these variances and this covariance, by the Cholesky factor."""
    scale = jnp.sqrt(jnp.maximum(first, 1e-30))
    slope = both / scale
    rest = jnp.sqrt(jnp.maximum(second - slope**2, 0.0))
    return jnp.stack([scale * normal[..., 0], slope * normal[..., 0] + rest * normal[..., 1]], axis=-1)
