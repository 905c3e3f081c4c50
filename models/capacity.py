"""Capacity, hierarchical: the cost of each added language, the curse of multilinguality.

Law: E + A K^phi / N^alpha + B K^psi / D_t^beta (Longpre et al. 2025, arXiv 2510.22037, Eq. 7), per language t, with N
parameters and D_t tokens of the language, both divided by their geometric means in the table. K is the number of
languages, sampled evenly, as a plain count. A and B are therefore losses of a monolingual run at the reference sizes.

Why these priors. phi is normal around .1 and psi around 0, both within a few tenths; the printed values are .11 and
-.04. Both signs must be plausible, since the question is whether languages cost capacity and help each other. Both are
pooled tightly, within some hundredths between languages: the paper prints one value for all. Other priors are as in
`chinchilla`.
"""

import numpyro.distributions as dist

from bayes_atlas.laws import capacity as law
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.loss_terms import exponents, split_loss
from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves

LAW = "capacity"


def model(params, tokens, languages, curves: Curves, loss=None):
    terms = split_loss(curves) | exponents(curves)
    terms["phi"] = pooled("phi", curves, dist.Normal(0.1, 0.1), 0.05)
    terms["psi"] = pooled("psi", curves, dist.Normal(0.0, 0.1), 0.05)
    expected = law.loss(params, tokens, languages, **{name: curves.by_language(value) for name, value in terms.items()})
    return observe(expected, curves, loss)
