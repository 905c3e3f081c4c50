"""Data-constrained Chinchilla, hierarchical: the value of repeated tokens and of excess parameters.

Law: E + A / N'^alpha + B / D'^beta (Muennighoff et al. 2023, arXiv 2305.16264), per language, with N parameters, D
tokens and U unique tokens. D' discounts repeated tokens, and N' parameters beyond what the unique tokens can use, both
with exponential decay (R_D*, R_N*).

Why these priors. The published law has alpha = beta. Here the log of their ratio is normal with sd .1, the same for
all languages: with free exponents, repetition and size are confounded. R_D* and R_N* are log-normal around 10 with 90 %
between .7 and 140. Published values are 15.4 and 5.3 fitted together, and 2.9 for R_D* alone. The published data do not
bound R_D* from above. Other priors are as in `chinchilla`.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.laws import data_constrained as law
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.loss_terms import split_loss
from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves

LAW = "data_constrained"


def model(params, tokens, unique, curves: Curves, loss=None):
    terms = {"alpha": pooled("alpha", curves, dist.Normal(jnp.log(0.35), 0.4), 0.25, support=constraints.positive)}
    ratio = numpyro.sample("log_exponent_ratio", dist.Normal(0.0, 0.1))
    with numpyro.plate("language", curves.languages):
        terms["beta"] = numpyro.deterministic("beta", terms["alpha"] * jnp.exp(ratio))
    for name in ("R_D", "R_N"):
        terms[name] = pooled(name, curves, dist.Normal(jnp.log(10.0), 1.6), 0.5, support=constraints.positive)
    effective = law.effective_tokens(tokens, unique, 1 / curves.by_language(terms["R_D"]))
    terms |= split_loss(curves, beta=terms["beta"], log_tokens=curves.typical(jnp.log(effective)))
    by_curve = {name: curves.by_language(value) for name, value in terms.items()}
    expected = law.loss(params, tokens, unique, **by_curve)
    return observe(expected, curves, loss)
