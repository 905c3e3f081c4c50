"""Burn-in of runs that have several checkpoints, as part of a model: `bayes_atlas.laws._burn_in`.

Why these priors. Without it, noise would have to account for early checkpoints that all lie above the law. The extra
loss at the start is log-normal around .3, 90 % between .06 and 1.6, and differs by language; ``onset`` is log-normal
around a tenth of a typical number of tokens, 90 % within a factor of five. Large models may be behind longer than small
ones, or not (``growth``).
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.laws import _burn_in as law
from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves


def burn_in(curves: Curves) -> jax.Array:
    """Sample the extra log loss of early checkpoints, ``(run, step)``; zero where runs have one checkpoint each."""
    if curves.age is None:
        return jnp.zeros(())
    at_start = pooled("burn_in", curves, dist.Normal(jnp.log(0.3), 1.0), 0.5, support=constraints.positive)
    return law.extra(
        curves.age.log_tokens,
        curves.age.log_params,
        burn_in=curves.by_language(at_start),
        onset=numpyro.sample("burn_in_onset", dist.LogNormal(jnp.log(0.1), 1.0)),
        steep=numpyro.sample("burn_in_steep", dist.LogNormal(jnp.log(3.0), 0.5)),
        growth=numpyro.sample("burn_in_growth", dist.Normal(0.0, 0.3)),
    )
