"""Crossover, hierarchical: when training from scratch overtakes a checkpoint.

Law: E + A / N^alpha + B / (D + S)^beta from scratch, floor (E + A / N^alpha) + B / (D + D_0)^beta from a checkpoint,
per language, with D the effective tokens of the language (Longpre et al. 2025, arXiv 2510.22037, §6; Hernandez et al.
2021, arXiv 2102.01293). D_0 and floor belong to the checkpoint and the language.

Why these priors. Units are geometric means of sizes and of each language's tokens. D_0 is log-normal around one of
these units, 90 % within a factor of 30, since a checkpoint may be worth nothing or more than all there is. The log of
floor is normal around zero with .1: whether a checkpoint ends up above or below training from scratch is the question,
and it decides whether there is a crossover at all. Checkpoints differ in it, and languages around each. The slow start
is log-normal around a tenth of a unit. Noise may fall or rise with data (``kappa_tokens``), since the shape at the
start is what no power law describes. A run that failed counts for little; ``weight`` says how little: 1 or more where a
run follows the law, near zero where it has no influence.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.curves import Curves
from bayes_atlas.laws import crossover as law
from bayes_atlas.laws.repetition import effective_tokens
from bayes_atlas.noise import observe
from bayes_atlas.pooling import pooled
from bayes_atlas.terms import exponents, split_loss

LAW = "crossover"


def model(params, tokens, unique, source_started, curves: Curves, loss=None):
    decay = dist.Normal(jnp.log(0.2), 0.7)
    terms = {"lam": pooled("lam", curves, decay, None, support=constraints.positive)} | exponents(curves)
    slow = pooled("slow", curves, dist.Normal(jnp.log(0.1), 1.0), 0.5, support=constraints.positive)
    checkpoints = source_started.shape[-1]
    worth = pooled("D_0", curves, dist.Normal(0.0, 2.0), 0.7, support=constraints.positive, sources=checkpoints)
    typical = numpyro.sample("checkpoint_location", dist.Normal(0.0, 0.1))
    varied = numpyro.sample("checkpoint_scale", dist.LogNormal(jnp.log(0.03), 0.7))
    with numpyro.plate("source", checkpoints, dim=-1):
        checkpoint = numpyro.sample("checkpoint", dist.Normal(typical, varied))
    apart = numpyro.sample("floor_scale", dist.LogNormal(jnp.log(0.02), 0.7))
    with numpyro.plate("language", curves.languages, dim=-2), numpyro.plate("source", checkpoints, dim=-1):
        floor = numpyro.sample("floor", dist.LogNormal(checkpoint, apart))
    scratch = 1 - source_started.sum(axis=-1)
    ahead = scratch * curves.by_language(slow) + (source_started * curves.by_language(worth)).sum(axis=-1)
    factor = scratch + (source_started * curves.by_language(floor)).sum(axis=-1)
    seen = effective_tokens(tokens, unique, curves.by_language(terms["lam"])) + ahead
    terms |= split_loss(curves, beta=terms["beta"], log_tokens=curves.typical(jnp.log(seen)))
    by_curve = {name: curves.by_language(value) for name, value in terms.items()}
    expected = law.loss(params, tokens, unique, ahead=ahead, floor=factor, **by_curve)
    kappa = numpyro.sample("kappa_tokens", dist.Normal(0.0, 0.5))
    return observe(expected, curves, loss, log_noise=kappa * jnp.log(tokens), weigh=True)
