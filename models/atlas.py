"""ATLAS, hierarchical: Chinchilla on effective tokens, with repetition and transfer from other languages.

Law: E + A / N^alpha + B / D_eff^beta with
D_eff = S_lam(D_t; U_t) + sum_i tau_i S_lam(D_i; U_i) + tau_other S_lam(D_other; U_other)
(Longpre et al. 2025, arXiv 2510.22037), per language t, with its most co-sampled sources i named and the rest lumped.

Why these priors. lam is log-normal around .2 per epoch, 90 % between .06 and .6. Muennighoff et al. (2023) fit .34 with
decay of data alone, and .065 together with excess parameters. tau is normal: zero, a source without effect, is an
ordinary point, and interference has the same prior probability as help. Its population is centred within a few tenths
of zero; printed transfer scores correspond to -.4 to .3. The population of tau_other is closer to zero, since this one
constant multiplies up to hundreds of times a language's own tokens. ``tau_prior`` replaces the population for sources
with transfer scores from bilingual runs (`bayes_atlas.inference.tau_prior`). If no run repeats data, lam stays at its
prior and is shared by all languages. Other priors are as in `chinchilla`.
"""

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.laws import atlas as law
from bayes_atlas.laws import chinchilla
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.loss_terms import exponents, split_loss
from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves

LAW = "atlas"


def model(
    params,
    tokens,
    unique,
    source_tokens,
    source_unique,
    other_tokens,
    other_unique,
    curves: Curves,
    tau_prior=None,
    loss=None,
):
    repeats = any(limit is not None for limit in (unique, source_unique, other_unique))
    decay = dist.Normal(jnp.log(0.2), 0.7)
    worth = {"lam": pooled("lam", curves, decay, 0.5 if repeats else None, support=constraints.positive)}
    if source_tokens is not None:
        worth["tau"] = pooled(
            "tau", curves, dist.Normal(0.0, 0.2), 0.2, sources=source_tokens.shape[-1], prior=tau_prior
        )
    if other_tokens is not None:
        worth["tau_other"] = pooled("tau_other", curves, dist.Normal(0.0, 0.1), 0.1)
    effective = law.effective_tokens(
        tokens,
        unique,
        source_tokens=source_tokens,
        source_unique=source_unique,
        other_tokens=other_tokens,
        other_unique=other_unique,
        **{name: curves.by_language(value) for name, value in worth.items()},
    )
    terms = exponents(curves)
    terms |= split_loss(curves, beta=terms["beta"], log_tokens=curves.typical(jnp.log(effective)))
    expected = chinchilla.loss(params, effective, **{name: curves.by_language(value) for name, value in terms.items()})
    return observe(expected, curves, loss)
