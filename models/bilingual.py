"""Bilingual, hierarchical: learning curves of languages trained alone and half and half, for transfer scores.

Law: E + B / D^beta alone, floor E + B / (worth D)^beta with a partner, per target and partner, at one model size
and in the target's own tokens D (Longpre et al. 2025, arXiv 2510.22037, §4). `bayes-atlas scores` turns its draws into
scores.

Why these priors. E, B and beta are as in `chinchilla`, without a size term. ``worth`` determines the score. Its prior
is wide, log-normal around 1 with sd 1, and without pooling: the score is to be a measurement, and `transfer` pools
measurements over pairs. Few runs identify ``floor`` apart from ``worth``, so it is pooled around 1 within a few
percent. Pairs without a run stay at their prior.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.laws import bilingual as law
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves

LAW = "bilingual"


def model(tokens, source_partner, curves: Curves, loss=None):
    level = pooled("level", curves, dist.Normal(1.0, 2.0), 1.0, support=constraints.positive)
    share = pooled("irreducible_share", curves, dist.Normal(1.2, 1.0), 0.5, support=constraints.unit_interval)
    beta = pooled("beta", curves, dist.Normal(jnp.log(0.35), 0.4), 0.25, support=constraints.positive)
    with numpyro.plate("language", curves.languages):
        E = numpyro.deterministic("E", level * share)
        B = numpyro.deterministic("B", level * (1 - share))
    partners = source_partner.shape[-1]
    with numpyro.plate("language", curves.languages, dim=-2), numpyro.plate("source", partners, dim=-1):
        worth = numpyro.sample("worth", dist.LogNormal(0.0, 1.0))
    floor = pooled("floor", curves, dist.Normal(0.0, 0.03), 0.03, support=constraints.positive, sources=partners)
    alone = 1 - source_partner.sum(axis=-1)
    of_curve = {"E": curves.by_language(E), "B": curves.by_language(B), "beta": curves.by_language(beta)}
    for name, values in (("worth", worth), ("floor", floor)):
        of_curve[name] = alone + (source_partner * curves.by_language(values)).sum(axis=-1)
    observe(law.loss(tokens, **of_curve), curves, loss)
