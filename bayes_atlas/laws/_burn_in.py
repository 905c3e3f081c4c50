"""Burn-in: the extra loss of a run's early checkpoints, whatever law its finished runs follow.

    log loss = log of the law's loss + burn_in N^growth / (1 + (T / onset)^steep)

T is the number of tokens that the run has seen, of all languages, and N its size, both in units of the table's means.
Early in a run weights are near their start and the learning rate is high. This ends after a number of tokens, not after
a fraction of the run. Decisions are about finished runs, so they are taken by the law alone.
"""

from bayes_atlas.laws._arrays import Array, namespace

SITES = {"burn_in": "burn_in", "onset": "burn_in_onset", "steep": "burn_in_steep", "growth": "burn_in_growth"}


def extra(log_tokens: Array, log_params: Array, *, burn_in: Array, onset: Array, steep: Array, growth: Array) -> Array:
    """Return the extra log loss of a run at a checkpoint.

    Args:
        log_tokens: log of the tokens seen, T.
        log_params: log of the size, N.
        burn_in: extra log loss at the start of a run of mean size.
        onset: tokens at which half of it is gone.
        steep: exponent of its decay with tokens.
        growth: exponent of its growth with size.
    """
    xp = namespace(log_tokens, log_params, burn_in, onset, steep, growth)
    left = (1 - xp.tanh(steep / 2 * (log_tokens - xp.log(xp.asarray(onset))))) / 2
    return burn_in * xp.exp(growth * log_params) * left
