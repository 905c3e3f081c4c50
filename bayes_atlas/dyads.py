"""The likelihood of scores: pairs of directions that may be correlated, measured with error, with heavy tails.

A dyad's two residuals are what is its own, ``N(0, S / w)`` with S the covariance of the two directions, and the errors
of measurement, ``N(0, M / w)`` with M diagonal; w is ``Gamma(NU/2, NU/2)``, shared by the dyad, so that their sum is a
bivariate Student-t of which any part may be missing.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

NU = 4.0  # as for runs, see `bayes_atlas.noise`


class DyadStudentT(dist.Distribution):
    """Bivariate Student-t over the directions of a dyad; batch shape ``(dyad,)``, event shape ``(2,)``.

    Args:
        loc: ``(dyad, 2)`` expected score of each direction.
        own: ``(dyad, 2)`` scale of what is the dyad's own.
        reciprocity: correlation of that between the directions.
        error: ``(dyad, 2)`` or a number, standard deviation of the error of measurement.
        observed: ``(dyad, 2)`` whether the direction was measured.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "own": constraints.independent(constraints.positive, 1),
        "reciprocity": constraints.interval(-1, 1),
    }
    support = constraints.real_vector

    def __init__(
        self, loc: jax.Array, own: jax.Array, reciprocity: jax.Array, error: jax.Array, observed: jax.Array
    ) -> None:
        self.loc, self.own, self.reciprocity, self.observed = loc, own, reciprocity, observed
        self.error = jnp.broadcast_to(error, loc.shape)
        super().__init__(batch_shape=loc.shape[:-1], event_shape=loc.shape[-1:], validate_args=False)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw measured scores of all directions."""
        of_own, of_error, of_mixing = jax.random.split(key, 3)
        shape = sample_shape + self.batch_shape + self.event_shape
        errors = self.error * jax.random.normal(of_error, shape)
        mixing = jax.random.gamma(of_mixing, NU / 2, (*shape[:-1], 1)) / (NU / 2)
        residual = _correlated(jax.random.normal(of_own, shape), self._covariance()) + errors
        return self.loc + residual / jnp.sqrt(mixing)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of what was measured of each dyad: ``(dyad,)``."""
        determinant, quadratic = self._quadratic(value)
        count = self.observed.sum(axis=-1)
        half = (NU + count) / 2
        return (
            gammaln(half)
            - gammaln(NU / 2)
            - count / 2 * jnp.log(NU * jnp.pi)
            - jnp.log(determinant) / 2
            - half * jnp.log1p(quadratic / NU)
        )

    def true_values(self, key: jax.Array, value: jax.Array) -> jax.Array:
        """A draw of the scores without errors of measurement, ``(dyad, 2)``, given what was measured of `value`."""
        of_own, of_mixing = jax.random.split(key)
        residual = self._residual(value)
        _, quadratic = self._quadratic(value)
        shape = (NU + self.observed.sum(axis=-1)) / 2
        mixing = jax.random.gamma(of_mixing, shape) / ((NU + quadratic) / 2)
        own = _matrix(*self._covariance())
        seen = self.observed[..., :, None] & self.observed[..., None, :]
        total = jnp.where(seen, own, 0.0) + _matrix(*self._padding(), jnp.zeros_like(residual[..., 0]))
        weight = jnp.linalg.solve(total, jnp.where(self.observed[..., :, None], own, 0.0)).mT
        mean = (weight @ residual[..., None])[..., 0]
        left = own - weight @ jnp.where(self.observed[..., :, None], own, 0.0)
        spread = (left[..., 0, 0], left[..., 1, 1], left[..., 0, 1])
        noise = _correlated(jax.random.normal(of_own, residual.shape, residual.dtype), spread)
        return self.loc + mean + noise / jnp.sqrt(mixing)[..., None]

    def _residual(self, value: jax.Array) -> jax.Array:
        return jnp.where(self.observed, value - self.loc, 0.0)

    def _covariance(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Variances of the two directions, and their covariance, of what is the dyad's own."""
        first, second = self.own[..., 0], self.own[..., 1]
        return first**2, second**2, self.reciprocity * first * second

    def _padding(self) -> tuple[jax.Array, jax.Array]:
        """Variances of the errors; 1 where nothing was measured, which contributes nothing."""
        errors = jnp.where(self.observed, self.error**2, 1.0)
        return errors[..., 0], errors[..., 1]

    def _measured(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Covariance of what was measured: variance 1 and no covariance where nothing was."""
        variances, errors = self._covariance(), self._padding()
        first, second = (jnp.where(self.observed[..., side], variances[side], 0.0) + errors[side] for side in (0, 1))
        return first, second, jnp.where(self.observed.all(axis=-1), variances[2], 0.0)

    def _quadratic(self, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Determinant of the covariance of what was measured, and the squared length of the residuals in it."""
        first, second, both = self._measured()
        residual = self._residual(value)
        determinant = first * second - both**2
        squares = second * residual[..., 0] ** 2 + first * residual[..., 1] ** 2
        return determinant, (squares - 2 * both * residual[..., 0] * residual[..., 1]) / determinant


def _matrix(first: jax.Array, second: jax.Array, both: jax.Array) -> jax.Array:
    return jnp.stack([jnp.stack([first, both], axis=-1), jnp.stack([both, second], axis=-1)], axis=-2)


def _correlated(normal: jax.Array, covariance: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """Standard normals ``(.., 2)`` with this covariance, by its Cholesky factor."""
    first, second, both = covariance
    scale = jnp.sqrt(jnp.maximum(first, 1e-30))
    slope = both / scale
    rest = jnp.sqrt(jnp.maximum(second - slope**2, 0.0))
    return jnp.stack([scale * normal[..., 0], slope * normal[..., 0] + rest * normal[..., 1]], axis=-1)
