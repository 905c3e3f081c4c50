"""The likelihood all models share: what a run's checkpoints show beyond the law.

Runs of one model size share an effect (``size_effect``): its shape and hyper-parameters were chosen once, and no law
knows how well. This is much of what is not known about ``alpha`` and ``E``, and leaving it out makes intervals on
optimal size too narrow; but it takes `FEWEST_SIZES` to tell it from the law, and with fewer it is left out. Where a
language has data sets of several sizes, runs of one size on the same data share it: what is left over by a law of
repetition is then alike for all numbers of epochs, and taking them for independent makes ``R_D*`` look known when it is
not. Around it, residuals on log loss of one curve (a run's checkpoints on one language) are a multivariate Student-t
process:

* checkpoints of a run drift from the law together: their correlation falls exponentially with the log-ratio of their
  tokens (Ornstein-Uhlenbeck), by a factor e over ``memory``, at most one e-fold. An unbounded memory is a run effect
  that explains away what mixtures do: on runs of fixed mixture the law then fits the shape of each trajectory, which
  the learning-rate schedule makes, and not the differences between runs, which are what a planner asks for;
* what no law describes well may be noisier: early checkpoints, by the ratio of the run's last tokens to theirs to the
  power ``kappa_stage``, and many passes over the same data, which end up doing harm, by their number, against what is
  typical of the language, to the power ``kappa_epochs``;
* an outlying or failed run counts for little as a whole (`NU` degrees of freedom).

The drift is integrated out, so it costs no dimension; the unit of the pointwise log likelihood is the curve, which is
what can be left out.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

from bayes_atlas.data.outliers import NU
from bayes_atlas.modelling.pooling import pooled, pooled_from
from bayes_atlas.observations.curves import Curves

# The law's own three parameters of size leave the rest of the sizes to tell an effect by. With five sizes it takes up
# whatever the exponent could have explained, and neither is determined.
FEWEST_SIZES = 10
SIZE_EFFECT = 0.5  # median spread over sizes, in units of the noise of a run


def observe(
    expected: jax.Array,
    curves: Curves,
    loss: jax.Array | None,
    *,
    log_noise: jax.Array | float = 0.0,
    weigh: bool = False,
) -> jax.Array:
    """Compare `expected` loss ``(run, step)`` with the observed one; samples the noise parameters.

    ``sigma`` (language) is the relative noise of a finished run's loss at the language's typical number of epochs,
    log-normal over languages around 1 %; the sampler knows noise by this name, which a model of one's own should use.
    `log_noise` ``(run, step)`` is the log of how much noisier a step is than that
    by the model's own account. With `weigh`, a site ``weight`` says how much each curve counts: `CurveStudentT.weight`.
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
    predicted = jnp.log(expected) + _size_effect(curves, jnp.log(sigma).mean())
    noise = CurveStudentT(predicted, scale, persistence, NU, curves.observed)
    with numpyro.plate("run", expected.shape[0]):
        if weigh and loss is not None:
            numpyro.deterministic("weight", noise.weight(jnp.log(loss)))
        return numpyro.sample("log_loss", noise, obs=None if loss is None else jnp.log(loss))


def _size_effect(curves: Curves, log_noise: jax.Array) -> jax.Array:
    """Effect of each curve's model size on log loss, ``(run, 1)``; none where too few sizes tell it from the law.

    Its spread, ``size_effect_scale``, is log-normal around half the noise.
    """
    if curves.size.groups < FEWEST_SIZES:
        return jnp.zeros(())
    spread = numpyro.sample("size_effect_scale", dist.LogNormal(jnp.log(SIZE_EFFECT) + log_noise, 0.7))
    with numpyro.plate("size", curves.size.groups):
        effect = numpyro.sample("size_effect", dist.Normal(0.0, spread), infer=pooled_from(None, "size_effect_scale"))
    return curves.size.spread(effect)


class CurveStudentT(dist.Distribution):
    """Multivariate Student-t over the steps of a curve, with Markov correlation and unobserved steps left out.

    `persistence` is the correlation of each step with the one before (0 for the first); batch shape ``(run,)``, event
    shape ``(step,)``.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
        "persistence": constraints.independent(constraints.unit_interval, 1),
    }
    support = constraints.real_vector

    def __init__(
        self, loc: jax.Array, scale: jax.Array, persistence: jax.Array, nu: float, observed: jax.Array
    ) -> None:
        self.loc, self.scale, self.persistence, self.nu, self.observed = loc, scale, persistence, nu, observed
        super().__init__(batch_shape=loc.shape[:-1], event_shape=loc.shape[-1:], validate_args=False)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw curves; padding gets draws too."""
        shape = sample_shape + self.batch_shape
        step, mixing = jax.random.split(key)
        fresh = jnp.sqrt(1 - self.persistence**2) * jax.random.normal(step, shape + self.event_shape)
        persistence = jnp.broadcast_to(self.persistence, fresh.shape)

        def drift(before: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            residual = now[0] * before + now[1]
            return residual, residual

        steps = (jnp.moveaxis(persistence, -1, 0), jnp.moveaxis(fresh, -1, 0))
        _, residuals = jax.lax.scan(drift, jnp.zeros(shape), steps)
        gamma = jax.random.gamma(mixing, self.nu / 2, (*shape, 1)) / (self.nu / 2)
        return self.loc + self.scale * jnp.moveaxis(residuals, 0, -1) / jnp.sqrt(gamma)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of the observed steps of each curve: ``(run,)``."""
        quadratic, log_volume = self._quadratic(value)
        count: Any = self.observed.sum(axis=-1)
        half = (self.nu + count) / 2
        return (
            gammaln(half)
            - gammaln(self.nu / 2)
            - count / 2 * jnp.log(self.nu * jnp.pi)
            - log_volume
            - half * jnp.log1p(quadratic / self.nu)
        )

    def weight(self, value: jax.Array) -> jax.Array:
        """How much each curve counts, ``(run,)``: its mean precision given its residuals, near 0 if it is far off."""
        quadratic, _ = self._quadratic(value)
        return (self.nu + self.observed.sum(axis=-1)) / (self.nu + quadratic)

    def _quadratic(self, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Squared length of the residuals in units of the noise, and the log volume of these: ``(run,)`` both."""
        residual = jnp.where(self.observed, (value - self.loc) / self.scale, 0.0)
        before = jnp.pad(residual[..., :-1], [(0, 0)] * (residual.ndim - 1) + [(1, 0)])
        fresh = jnp.where(self.observed, 1 - self.persistence**2, 1.0)
        innovation = jnp.where(self.observed, residual - self.persistence * before, 0.0)
        quadratic = (innovation**2 / fresh).sum(axis=-1)
        log_volume = jnp.where(self.observed, jnp.log(self.scale) + jnp.log(fresh) / 2, 0.0).sum(axis=-1)
        return quadratic, log_volume
