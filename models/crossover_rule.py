"""Crossover rule, hierarchical: the compute at which training from scratch overtakes a checkpoint, by size.

Law: C = c N^gamma, in tokens D = c N^(gamma - 1) / 6 (Longpre et al. 2025, arXiv 2510.22037, §6), with c of each
language and one gamma, fitted to measured crossovers with a stated error. Sizes are in units of their geometric mean.
Rows of the language ``all`` are values of the rule for a typical language.

Why these priors. A typical language's crossover at the reference size, in tokens, is log-normal around the mean of the
table, with a width of a factor of e. Languages vary around it by a factor of about 1.3, learned. gamma is normal around
1.5 with sd .5. With gamma = 1 the tokens of the crossover do not depend on size; with 2 they are proportional to size.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.modelling.pooling import pooled_from
from bayes_atlas.observations.crossings import Crossings

LAW = "crossover_rule"


def model(crossings: Crossings, log_tokens=None):
    gamma = numpyro.sample("gamma", dist.Normal(1.5, 0.5))
    typical = numpyro.sample("log_tokens_location", dist.Normal(crossings.centre, 1.0))
    spread = numpyro.sample("log_tokens_scale", dist.LogNormal(jnp.log(0.25), 0.7))
    with numpyro.plate("language", crossings.belongs.shape[-1]):
        population = pooled_from("log_tokens_location", "log_tokens_scale")
        own = numpyro.sample("log_tokens", dist.Normal(typical, spread), infer=population)
        numpyro.deterministic("c", jnp.exp(own) * TRAINING_FLOPS)
    numpyro.deterministic("c_typical", jnp.exp(typical) * TRAINING_FLOPS)
    own = jnp.where(crossings.typical, typical, crossings.belongs @ own)
    expected = own + (gamma - 1) * crossings.log_params
    with numpyro.plate("run", crossings.log_params.shape[0]):
        numpyro.sample("crossover", dist.Normal(expected, crossings.error), obs=log_tokens)
