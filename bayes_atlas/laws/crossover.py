"""Crossover: loss of one language from scratch and from a checkpoint (Longpre et al. 2025, arXiv 2510.22037, §6).

From scratch the loss is that of `bayes_atlas.laws.chinchilla`, but for a slow start S, in effective tokens D:

    E + A / N^alpha + B / (D + S)^beta.

A checkpoint is worth D_0 tokens of the language (Hernandez et al. 2021, arXiv 2102.01293), and leads to a floor of its
own, since what it has learned before is both a gain and a burden:

    floor (E + A / N^alpha) + B / (D + D_0)^beta.

With D_0 > S and floor <= 1 the checkpoint is always ahead and no crossover exists: what makes one is a floor above 1.
"""

from bayes_atlas.laws._arrays import Array
from bayes_atlas.laws.repetition import effective_tokens

PARAMETERS = {
    "E": "irreducible loss",
    "A": "loss of a model of size 1 above E",
    "B": "loss on one token above E",
    "alpha": "exponent of size",
    "beta": "exponent of data",
    "lam": "decay of repeated tokens' worth, per epoch",
    "slow": "tokens of a slow start from scratch",
    "D_0": "tokens that a checkpoint is worth",
    "floor": "factor on the loss that data cannot reduce, of a run from a checkpoint",
}


def loss(
    params: Array,
    tokens: Array,
    unique: Array | None = None,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    ahead: Array,
    floor: Array = 1.0,
    lam: Array = 0.0,
) -> Array:
    """Loss of `params` parameters after `tokens` of the language, of which `unique` there are; all broadcast.

    `ahead` are the tokens added to those trained on: ``slow`` from scratch, with `floor` 1, or a checkpoint's ``D_0``.
    """
    effective = effective_tokens(tokens, unique, lam)
    return floor * (E + A / params**alpha) + B / (effective + ahead) ** beta
