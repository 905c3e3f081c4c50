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
    value, _ = value_and_slope(tokens, unique, lam)
    return value


def value_and_slope(tokens: Array, unique: Array | None, lam: Array) -> tuple[Array, Array]:
    """The effective tokens, and how they grow with the logarithm of `tokens`, at the same arguments."""
    if unique is None:
        return tokens, tokens
    xp = namespace(tokens, unique, lam)
    repeated = xp.maximum(tokens - unique, 0.0)
    decay = lam * (repeated / unique)
    small = decay < 1e-4  # where gradients of the mean would not be finite
    lost = -xp.expm1(-decay)  # what the last token has lost of its value
    mean = xp.where(small, 1 - decay / 2, lost / xp.where(small, 1.0, decay))
    return xp.minimum(tokens, unique) + repeated * mean, tokens * (1 - lost)


def slope(tokens: Array, unique: Array | None, lam: Array) -> Array:
    """The slope alone."""
    _, growth = value_and_slope(tokens, unique, lam)
    return growth
