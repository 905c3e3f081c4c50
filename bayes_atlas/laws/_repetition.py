"""The value of repeated data: S_lambda(D; U) (Longpre et al. 2025, arXiv 2510.22037, Eq. 3).

Up to one epoch a token counts as one. Each further pass over the `unique` tokens counts for less, at a decay rate `lam`
per epoch. With ``lam = 1 / R_D*`` this is the D' of Muennighoff et al. (2023, arXiv 2305.16264). They use the same form
for excess parameters.
"""

from bayes_atlas.laws._arrays import Array, namespace

PARAMETERS = {"lam": "decay of the value of repeated tokens, per epoch"}


def effective_tokens(tokens: Array, unique: Array | None, lam: Array) -> Array:
    """Return the number of fresh tokens with the same value as `tokens` tokens drawn from `unique` different ones.

    The result equals `tokens` up to one epoch and is continuously differentiable there. It is at most
    ``unique * (1 + 1 / lam)`` and tends to `tokens` as `lam` tends to 0. `unique` may be infinite, or None if
    nothing repeats; `lam` is at least 0.
    """
    value, _ = value_and_slope(tokens, unique, lam)
    return value


def value_and_slope(tokens: Array, unique: Array | None, lam: Array) -> tuple[Array, Array]:
    """Return the effective tokens, and their slope in the log of `tokens`, at the same arguments."""
    if unique is None:
        return tokens, tokens
    xp = namespace(tokens, unique, lam)
    repeated = xp.maximum(tokens - unique, 0.0)
    decay = lam * (repeated / unique)
    small = decay < 1e-4  # gradients of the mean are not finite there
    lost = -xp.expm1(-decay)  # lost value of the last token
    near = xp.where(small, decay, 0.0)  # so that squares of a large decay do not overflow
    mean = xp.where(small, 1 - near * (0.5 - near / 6), lost / xp.where(small, 1.0, decay))
    return xp.minimum(tokens, unique) + repeated * mean, tokens * (1 - lost)


def slope(tokens: Array, unique: Array | None, lam: Array) -> Array:
    """Return the slope alone."""
    _, growth = value_and_slope(tokens, unique, lam)
    return growth
