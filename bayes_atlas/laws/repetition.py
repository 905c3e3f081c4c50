"""What repeated data is worth: S_lambda(D; U) (Longpre et al. 2025, arXiv 2510.22037, Eq. 3).

Up to one epoch a token counts as one; each further pass over the `unique` tokens counts for less, by a rate `lam` per
epoch. With ``lam = 1 / R_D*`` this is the D' of Muennighoff et al. (2023, arXiv 2305.16264), and the same form counts
excess parameters there.
"""

from bayes_atlas.laws._arrays import Array, namespace

PARAMETERS = {"lam": "decay of the value of repeated tokens, per epoch"}


def effective_tokens(tokens: Array, unique: Array | None, lam: Array) -> Array:
    """Tokens of fresh data that `tokens` passes over `unique` tokens are worth.

    Equal to `tokens` up to one epoch, continuously differentiable there, at most ``unique * (1 + 1 / lam)``, and equal
    to `tokens` everywhere as `lam` tends to 0. `unique` may be infinite, or None throughout (never repeated); `lam` is
    at least 0.
    """
    if unique is None:
        return tokens
    xp = namespace(tokens, unique, lam)
    fresh = xp.minimum(tokens, unique)
    repeated = xp.maximum(tokens - unique, 0.0)
    return fresh + repeated * _mean_value(lam * (repeated / unique))


def slope(tokens: Array, unique: Array | None, lam: Array) -> Array:
    """How the effective tokens grow with the logarithm of `tokens`, at the same arguments."""
    if unique is None:
        return tokens
    xp = namespace(tokens, unique, lam)
    return tokens * xp.exp(-lam * (xp.maximum(tokens - unique, 0.0) / unique))


def _mean_value(decay: Array) -> Array:
    """(1 - exp(-x)) / x with its limit 1 at x = 0, and gradients that stay finite there."""
    xp = namespace(decay)
    small = decay < 1e-4
    safe = xp.where(small, 1.0, decay)
    return xp.where(small, 1 - decay / 2, -xp.expm1(-safe) / safe)
