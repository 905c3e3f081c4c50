"""Family share, hierarchical: the loss of a language falls with its family's share of the training mixture.

Law: ( E + A / N^alpha + B / D^beta ) p^-gamma (He et al. 2024, arXiv 2410.12883), per language, with N parameters and
D tokens of *all* sources, both divided by reference sizes. p is the share of the language's family in these tokens. The
family is the genus in the bundled table of languages, or the language itself if it is not in the table. He et al. give
a family one curve. Here each language has its own curve, and languages of a family have p in common.

Why these priors. gamma is log-normal around .1, 90 % between .02 and .5: with a tenth of the mixture a language then
loses between a twentieth and a factor of three against one with all of it. Its population is pooled within half an
e-fold. The loss is divided into its terms at the language's typical share, in the range of the runs. Other priors are
as in `chinchilla`.
"""

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.laws import family_share as law
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.loss_terms import exponents, split_loss
from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves

LAW = "family_share"


def model(params, total_tokens, share, curves: Curves, loss=None):
    gamma = pooled("gamma", curves, dist.Normal(jnp.log(0.1), 1.0), 0.5, support=constraints.positive)
    terms = exponents(curves) | {"gamma": gamma}
    terms |= split_loss(
        curves,
        beta=terms["beta"],
        log_tokens=curves.typical(jnp.log(total_tokens)),
        log_factor=-gamma * curves.typical(jnp.log(share)),
    )
    expected = law.loss(params, total_tokens, share, **{name: curves.by_language(v) for name, v in terms.items()})
    return observe(expected, curves, loss)
