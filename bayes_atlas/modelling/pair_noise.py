"""The likelihood of transfer scores: heavy-tailed effects of dyads, correlated between directions, with error.

The dyad's own effect is bivariate Student-t. One odd pair therefore widens no others, and its own score is trusted as
far as its error allows. Measurement errors are normal and independent. The sum of a Student-t and a normal has no
closed form. A Student-t is a mixture of normals over scales; with scales in steps of a factor of 2 the sum has a closed
form, and any part of it may be missing. A censored score is only an upper bound: its likelihood is the probability of a
measurement below the bound.
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
STEPS = 2.0 ** np.arange(-1, 4)  # scales of the normals, in units of the Student-t's scale


def _weights() -> np.ndarray:
    """Return the probability of each step. The squared scale is NU over a chi-square."""
    ends = np.append(np.append(0.0, STEPS[:-1] * np.sqrt(2)), np.inf)
    with np.errstate(divide="ignore"):
        return -np.diff(chi2.cdf(NU / ends**2, NU))


LOG_WEIGHTS = np.log(_weights())
# Gauss-Legendre on (0, 1), for two censored directions: within .002 of the log probability.
NODES, NODE_WEIGHTS = ((np.polynomial.legendre.leggauss(16)[part] + (1 - part)) / 2 for part in (0, 1))
FAR = -8.0  # below this, a normal's tail is approximated by its shape at this point
CANDIDATES = 64  # candidates for a draw of two censored directions


class DyadStudentT(dist.Distribution):
    """Scores of the two directions of a dyad, measured with error; batch shape ``(dyad,)``, event shape ``(2,)``.

    Args:
        loc: ``(dyad, 2)`` expected score of each direction.
        own: ``(dyad, 2)`` scale of the dyad's own effect.
        reciprocity: correlation of this effect between the two directions.
        error: ``(dyad, 2)`` or a number, standard deviation of the measurement error.
        observed: ``(dyad, 2)`` whether the direction was measured.
        censored: ``(dyad, 2)`` whether the measurement is only an upper bound; None if there are no bounds.
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
        """Return the log density of each dyad's measurements, ``(dyad,)``."""
        return logsumexp(self._log_joint(value), axis=-1)

    def true_values(self, key: jax.Array, value: jax.Array) -> jax.Array:
        """Draw scores without measurement error, ``(dyad, 2)``, given the measured part of `value`."""
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
        """Return the joint log density of each dyad's measurements and each step of the scale, ``(dyad, step)``."""
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
        """Return the log probability of censored scores below their bounds given the exact ones, ``(step, dyad)``."""
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
        """Replace each bound in `value` by a draw of the censored measurement, at scale `step` ``(dyad,)``."""
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
        """Return the distribution of both directions' measurements at scale `step`, each given the other if exact.

        Returns:
            `value` in standard deviations, one array per direction; these standard deviations and the means relative to
            `loc`, ``(.., dyad, 2)`` each; the correlation of the two directions.
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
        """Return the mask of directions with an exact measurement, not only a bound."""
        return jnp.asarray(self.observed if self.censored is None else self.observed & ~self.censored)

    def _residual(self, value: jax.Array) -> jax.Array:
        return jnp.where(self._exact(), value - self.loc, 0.0)

    def _errors(self) -> jax.Array:
        """Return the variances of the errors, ``(dyad, 2)``; 1 for unmeasured directions, which contribute nothing."""
        return jnp.where(self.observed, self.error**2, 1.0)

    def _covariance(self, step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return the variances of the dyad's own effect in both directions, and their covariance, at scale `step`."""
        first, second = step * self.own[:, 0], step * self.own[:, 1]
        return first**2, second**2, self.reciprocity * first * second


def _below(part: jax.Array, bound: jax.Array) -> jax.Array:
    """Return the quantile `part` of a standard normal truncated to values below `bound`."""
    near = jnp.maximum(bound, FAR)
    return ndtri(part * ndtr(near)) + (bound - near)


def _correlated(normal: jax.Array, first: jax.Array, second: jax.Array, both: jax.Array) -> jax.Array:
    """Give standard normals ``(.., 2)`` these variances and this covariance, by the Cholesky factor."""
    scale = jnp.sqrt(jnp.maximum(first, 1e-30))
    slope = both / scale
    rest = jnp.sqrt(jnp.maximum(second - slope**2, 0.0))
    return jnp.stack([scale * normal[..., 0], slope * normal[..., 0] + rest * normal[..., 1]], axis=-1)
