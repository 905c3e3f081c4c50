"""Transfer: effect of one language's training data on another.

Longpre et al. 2025, arXiv 2510.22037, §4 and Appendix B.6.

The bilingual transfer score compares a run on target and source, half and half, with a run on the target alone. The
monolingual run has d tokens; the bilingual run needs D_bi total tokens to reach the same loss on the target:

    BTS = -(D_bi - 2 d) / d = 2 - D_bi / d.

A score of 0 is neutral, 1 is a second language for free, and negative values are interference.
`bayes_atlas.laws.atlas.tau_from_bts` converts the score to a transfer weight of the source's tokens.

Scores of a matrix, whether BTS or gains in loss, are modelled as a sum: an effect of the target, an effect of the
source, and effects of common traits.
"""

from bayes_atlas.laws._arrays import Array

COVARIATES = ()  # scores belong to pairs of languages, not to runs
PARAMETERS = {
    "level": "mean score of unrelated languages",
    "receives": "effect of the target, common to all its sources",
    "gives": "effect of the source, common to all its targets",
    "script": "effect of a common script on the score",
    "genus": "effect of a common genus on the score",
    "family": "effect of a common family on the score",
    "per_distance": "effect of one standard deviation of a distance on the score",
    "spread": "scale of the residual of a pair, by target",
    "reciprocity": "correlation of residuals between the two directions of a pair",
    "noise": "error of a measured score, if the table states none",
}


def bts(bilingual_tokens: Array, monolingual_tokens: Array) -> Array:
    """Return the bilingual transfer score: `bilingual_tokens` in total reach the loss of `monolingual_tokens` (§4).

    If the bilingual run never reaches the loss, its tokens are infinite and the score is minus infinity.
    """
    return 2 - bilingual_tokens / monolingual_tokens


def gain(loss: Array, scratch_loss: Array) -> Array:
    """Return the loss that a start from a source's model saves a target, in the unit of losses; positive is help."""
    return scratch_loss - loss


def expected_score(*, level: Array, receives: Array, gives: Array, common: Array = 0.0) -> Array:
    """Return the score of a pair; `common` is the sum of effects of the traits in common. All broadcast."""
    return level + receives + gives + common
