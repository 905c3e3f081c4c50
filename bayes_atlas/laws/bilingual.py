"""Bilingual study: loss of a target at one model size, trained alone or half and half with a partner.

Longpre et al. 2025, arXiv 2510.22037, §4 and Appendix B.5.1. In the target's own tokens D, alone and with a partner:

    E + B / D^beta,     floor E + B / (worth D)^beta.

Each token of the target comes with one token of the partner. The pair is worth `worth` tokens of the target (1 + tau of
`bayes_atlas.laws.atlas`). With a `floor` of 1 the transfer score is 2 - 2 / worth at every anchor. Shared capacity is a
floor above 1. It lowers the score as training goes on, until the run with the partner never reaches the loss.
"""

from bayes_atlas.laws import transfer
from bayes_atlas.laws._arrays import Array, namespace
from bayes_atlas.laws.chinchilla import power

COVARIATES = ("tokens",)
PARAMETERS = {
    "E": "irreducible loss at this size",
    "B": "loss due to finite data at the reference data",
    "beta": "exponent of data",
    "worth": "worth of one token of the target plus one of the partner, in tokens of the target",
    "floor": "factor on the irreducible loss with a partner",
}

NEVER = 1e-9  # share of B above the floor; reaching less counts as never


def loss(tokens: Array, *, E: Array, B: Array, beta: Array, worth: Array = 1.0, floor: Array = 1.0) -> Array:
    """Return the loss of the target after `tokens` of its own; all broadcast. A run alone omits the last two."""
    return floor * E + B * power(worth * tokens, -beta)


def tokens_to(loss: Array, *, E: Array, B: Array, beta: Array, worth: Array = 1.0, floor: Array = 1.0) -> Array:
    """Return the target's own tokens at `loss`, the inverse of `loss`; infinite if the loss is never reached."""
    xp = namespace(loss, E, B, beta, worth, floor)
    above = loss - floor * E
    reached = above > NEVER * B
    needed = power(xp.where(reached, above, B) / B, -1 / beta) / worth
    return xp.where(reached, needed, xp.inf)


def score(
    anchor: Array,
    *,
    E: Array,
    B: Array,
    beta: Array,
    worth: Array,
    floor: Array = 1.0,
    luck: Array = 0.0,
) -> Array:
    """Return the bilingual transfer score at `anchor` tokens of the target alone.

    The score is minus infinity if the loss is never reached. `luck` is the difference in log loss that comes from the
    seeds alone: the run alone minus the run with a partner.
    """
    xp = namespace(anchor, E, B, beta, worth, floor, luck)
    aim = loss(anchor, E=E, B=B, beta=beta) * xp.exp(xp.asarray(-luck))
    own = tokens_to(aim, E=E, B=B, beta=beta, worth=worth, floor=floor)
    return transfer.bts(2 * own, anchor)
