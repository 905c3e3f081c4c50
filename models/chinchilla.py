"""Chinchilla, hierarchical: loss falls as a power of size and of data, with partial pooling over languages.

Law: E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv 2203.15556), per language, with N parameters and D tokens
of the language, both divided by their geometric means in the table. A and B are losses at those reference sizes.

Why these priors. The loss at the reference may be in any unit, so its population is wide (log-normal, a factor of e^2).
Its division into E, A and B has a wide prior too: logit-normal shares, each from a tenth to nine tenths. The exponents
are log-normal around .35, with 90 % between .16 and .76; published fits run from .15 to .64. Each is drawn by language
around a learned population, with a pooling scale of up to a few tenths in logs. Noise: see
`bayes_atlas.modelling.curve_noise`.
"""

from bayes_atlas.laws import chinchilla as law
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.loss_terms import exponents, split_loss
from bayes_atlas.observations.curves import Curves

LAW = "chinchilla"


def model(params, tokens, curves: Curves, loss=None):
    terms = split_loss(curves) | exponents(curves)
    expected = law.loss(params, tokens, **{name: curves.by_language(value) for name, value in terms.items()})
    return observe(expected, curves, loss)
