"""The likelihood that all models share: residuals of a run's checkpoints.

Runs of one model size share an effect (``size_effect``). The shape and hyper-parameters of a size were chosen once, and
no law knows how well. This effect is a large part of the uncertainty about ``alpha`` and ``E``; without it, intervals
on optimal size are too narrow. With few sizes it is not identified apart from the law. So it is left out up to five
sizes (`bayes_atlas.data.size_groups.NO_EFFECT`), and its prior grows to its full width at ten. If a language has
data sets of several sizes, only runs of one size on the same data share an effect. On the same data, residuals of a law
of repetition are similar for all numbers of epochs. If they were treated as independent, ``R_D*`` would seem identified
when it is not.

Around this effect, residuals on log loss of one curve (a run's checkpoints on one language) are a multivariate
Student-t process:

* Checkpoints of a run drift from the law together. Their correlation falls exponentially with the log-ratio of their
  tokens (Ornstein-Uhlenbeck), by a factor e over ``memory``, at most one e-fold. An unbounded memory is a run effect,
  which explains away the effects of mixtures. With runs of fixed mixture, the law would then fit the shape of each
  trajectory, which the learning-rate schedule determines, not the differences between runs, which planning needs.
* Checkpoints that no law describes well may be noisier. For early checkpoints, noise scales as the power
  ``kappa_stage`` of the ratio of the run's last tokens to theirs. Many epochs end up harmful; noise scales as the power
  ``kappa_epochs`` of their number, relative to the language's typical number.
* An outlying or failed run has little weight as a whole (`NU` degrees of freedom).
* What makes a run better or worse than the law (its seed, its learning rate, the moment of its checkpoint) it does on
  all languages. At each checkpoint, residuals of one run on any two languages have the correlation ``shared``. Without
  it, intervals would take a run on seven languages for seven independent ones.

Drift and what languages share are integrated out, so they cost no dimension. The unit of cross-validation is the run.
The pointwise log likelihood of a curve is its part of the log density of its run, by its number of checkpoints.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

from bayes_atlas.data.outliers import NU
from bayes_atlas.modelling.burn_in import burn_in
from bayes_atlas.modelling.pooling import pooled, pooled_from
from bayes_atlas.observations.curves import Curves, Together

SIZE_EFFECT = 0.5  # prior median of the spread over sizes, in units of the noise of a run


def observe(
    expected: jax.Array,
    curves: Curves,
    loss: jax.Array | None,
    *,
    log_noise: jax.Array | float = 0.0,
    weigh: bool = False,
) -> jax.Array:
    """Observe `loss` around the `expected` loss, both ``(run, step)``, and sample the noise parameters.

    ``sigma`` (language) is the relative noise of a finished run's loss at the language's typical number of epochs. It
    is log-normal over languages around 1 %. Your own model should use this name too: `bayes_atlas.validation.predict`
    reads it. `log_noise` ``(run, step)`` is the log of the factor by which the model itself scales this noise. With
    `weigh`, a site ``weight`` holds the weight of each curve: `CurveStudentT.weight`.
    """
    sigma = pooled("sigma", curves, dist.Normal(jnp.log(0.01), 1.0), 0.5, support=constraints.positive, noise=True)
    scale = jnp.broadcast_to(curves.by_language(sigma) * jnp.exp(log_noise), expected.shape)
    persistence = jnp.zeros_like(scale)
    if curves.repeated:
        kappa = numpyro.sample("kappa_stage", dist.Normal(0.0, 0.5))
        memory = numpyro.sample("memory", dist.Beta(2.0, 2.0))
        scale = scale * jnp.exp(kappa * curves.stage)
        persistence = curves.persistence(memory)
    if curves.epochs is not None:
        beyond = curves.epochs - curves.by_language(curves.typical(curves.epochs))
        scale = scale * jnp.exp(numpyro.sample("kappa_epochs", dist.Normal(0.0, 0.5)) * beyond)
    shared = numpyro.sample("shared", dist.Beta(1.0, 2.0)) if curves.together is not None else 0.0
    predicted = jnp.log(expected) + burn_in(curves) + _size_effect(curves, jnp.log(sigma).mean())
    noise = CurveStudentT(predicted, scale, persistence, NU, curves.observed, curves.together, shared)
    with numpyro.plate("run", expected.shape[0]):
        if weigh and loss is not None:
            numpyro.deterministic("weight", noise.weight(jnp.log(loss)))
        return numpyro.sample("log_loss", noise, obs=None if loss is None else jnp.log(loss))


def _size_effect(curves: Curves, log_noise: jax.Array) -> jax.Array:
    """Sample the effect of each curve's model size on log loss, ``(run, 1)``; zero where curves have no size groups.

    Its spread, ``size_effect_scale``, is log-normal around half the noise, and around less of it where sizes are few.
    """
    if not curves.size.groups:
        return jnp.zeros(())
    typical = jnp.log(SIZE_EFFECT * curves.size_weight) + log_noise
    spread = numpyro.sample("size_effect_scale", dist.LogNormal(typical, 0.7))
    with numpyro.plate("size", curves.size.groups):
        effect = numpyro.sample("size_effect", dist.Normal(0.0, spread), infer=pooled_from(None, "size_effect_scale"))
    return curves.size.spread(effect)


class CurveStudentT(dist.Distribution):
    """Multivariate Student-t over the observed steps of the curves of each run, with Markov correlation along a curve.

    `persistence` is the correlation of each step with the previous one (0 for the first), and `shared` that of one step
    of any two curves of a run of `together`; without `together`, curves are independent. The batch shape is ``(run,)``,
    one for each curve, and the event shape ``(step,)``.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
        "persistence": constraints.independent(constraints.unit_interval, 1),
    }
    support = constraints.real_vector

    def __init__(
        self,
        loc: jax.Array,
        scale: jax.Array,
        persistence: jax.Array,
        nu: float,
        observed: jax.Array,
        together: Together | None = None,
        shared: jax.Array | float = 0.0,
    ) -> None:
        self.loc, self.scale, self.persistence, self.nu, self.observed = loc, scale, persistence, nu, observed
        self.together, self.shared = together, shared
        super().__init__(batch_shape=loc.shape[:-1], event_shape=loc.shape[-1:], validate_args=False)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw curves, including values for padding."""
        shape = sample_shape + self.batch_shape
        step, common, mixing = jax.random.split(key, 3)
        normal = jax.random.normal(step, shape + self.event_shape)
        gamma = jax.random.gamma(mixing, self.nu / 2, (*shape, 1)) / (self.nu / 2)
        if self.together is not None:
            of_run = jnp.asarray(self.together.of_curve)
            alike = jax.random.normal(common, shape + self.event_shape)[..., of_run, :]
            normal = jnp.sqrt(self.shared) * alike + jnp.sqrt(1 - self.shared) * normal
            gamma = gamma[..., of_run, :]
        fresh = jnp.sqrt(1 - self.persistence**2) * normal
        persistence = jnp.broadcast_to(self.persistence, fresh.shape)

        def drift(before: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            residual = now[0] * before + now[1]
            return residual, residual

        steps = (jnp.moveaxis(persistence, -1, 0), jnp.moveaxis(fresh, -1, 0))
        _, residuals = jax.lax.scan(drift, jnp.zeros(shape), steps)
        return self.loc + self.scale * jnp.moveaxis(residuals, 0, -1) / jnp.sqrt(gamma)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the log density of each curve or, divided among its curves, of each run of `together`: ``(run,)``."""
        squares, count, log_volume = self._lengths(value)
        density = self._radial(squares, count)
        if self.together is None:
            return density - log_volume
        part = self.observed.sum(axis=-1) / jnp.maximum(count, 1)
        return part * (density - self._log_spread().sum(axis=-1)[self.together.of_curve]) - log_volume

    def weight(self, value: jax.Array) -> jax.Array:
        """Return the weight of each curve's run, ``(run,)``: its mean precision; near 0 for outliers."""
        squares, count, _ = self._lengths(value)
        return (self.nu + count) / (self.nu + squares)

    def _radial(self, squares: jax.Array, count: jax.Array) -> jax.Array:
        """Return the log density of `count` uncorrelated residuals of unit scale, by their squared length."""
        half = (self.nu + count) / 2
        return (
            gammaln(half)
            - gammaln(self.nu / 2)
            - count / 2 * jnp.log(self.nu * jnp.pi)
            - half * jnp.log1p(squares / self.nu)
        )

    def _lengths(self, value: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return squared length and number of white residuals, and the log volume of noise and drift; all ``(run,)``.

        The first two are those of the curve's whole run, the third is the curve's own.
        """
        residual = jnp.where(self.observed, (value - self.loc) / self.scale, 0.0)
        before = jnp.pad(residual[..., :-1], [(0, 0)] * (residual.ndim - 1) + [(1, 0)])
        fresh = jnp.where(self.observed, 1 - self.persistence**2, 1.0)
        white = jnp.where(self.observed, residual - self.persistence * before, 0.0) / jnp.sqrt(fresh)
        log_volume = jnp.where(self.observed, jnp.log(self.scale) + jnp.log(fresh) / 2, 0.0).sum(axis=-1)
        if self.together is None:
            return (white**2).sum(axis=-1), self.observed.sum(axis=-1), log_volume
        alike = self.shared / (1 + (self.together.seen - 1) * self.shared) * self.together.total(white) ** 2
        squares = (self.together.total((white**2).sum(axis=-1)) - alike.sum(axis=-1)) / (1 - self.shared)
        both = jnp.stack([squares, jnp.asarray(self.together.seen.sum(axis=-1))], axis=-1)[self.together.of_curve]
        return both[:, 0], both[:, 1], log_volume

    def _log_spread(self) -> jax.Array:
        """Return half the log determinant of the correlation of a run's curves, ``(training run, step)``."""
        assert self.together is not None
        others = jnp.maximum(jnp.asarray(self.together.seen) - 1, 0)
        return (others * jnp.log1p(-self.shared) + jnp.log1p(others * self.shared)) / 2
