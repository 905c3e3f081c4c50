"""Transfer: how much one language's training data help another.

Longpre et al. 2025, arXiv 2510.22037, §4 and Appendix B.6.

The bilingual transfer score compares a run on target and source, half and half, with a run on the target alone: with
d tokens of the monolingual run and D_bi total tokens of the bilingual run to the same loss on the target,

    BTS = -(D_bi - 2 d) / d = 2 - D_bi / d.

0 is neutral, 1 a second language for free, and negative values are interference. `bayes_atlas.laws.atlas.tau_from_bts`
turns it into the worth of a source's token.

Scores of a matrix, whether BTS or gains in loss, are described by a sum: what the target receives, what the source
gives, and what the two have in common.
"""

from bayes_atlas.laws._arrays import Array

COVARIATES = ()  # a score is of a pair of languages, not of a run
PARAMETERS = {
    "level": "mean score of unrelated languages",
    "receives": "how much more than that a target receives from any source",
    "gives": "how much more than that a source gives to any target",
    "script": "score that a common script adds",
    "genus": "score that a common genus adds",
    "family": "score that a common family adds",
    "per_distance": "score that a standard deviation of a distance adds",
    "spread": "scale of what a pair has beyond the sum, by target",
    "reciprocity": "correlation of that between the two directions of a pair",
    "noise": "error of a measured score, where the table states none",
}


def bts(bilingual_tokens: Array, monolingual_tokens: Array) -> Array:
    """Bilingual transfer score of `bilingual_tokens` in total to the loss of `monolingual_tokens` (§4).

    Infinitely many, where the bilingual run never reaches the loss, give minus infinity.
    """
    return 2 - bilingual_tokens / monolingual_tokens


def gain(loss: Array, scratch_loss: Array) -> Array:
    """Loss that starting from a source's model saves a target, in the unit of the losses; positive is help."""
    return scratch_loss - loss


def expected_score(*, level: Array, receives: Array, gives: Array, common: Array = 0.0) -> Array:
    """Score of a pair; `common` is the sum of what its target and source have in common. All broadcast."""
    return level + receives + gives + common
