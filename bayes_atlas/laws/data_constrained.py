"""Data-constrained Chinchilla: repetition of data and excess of parameters (Muennighoff et al. 2023, arXiv 2305.16264).

L = E + A / N'^alpha + B / D'^beta. D' discounts repeated tokens, N' parameters beyond what the unique data can use,
both with exponential decay: D' = U_D + U_D R_D* (1 - exp(-R_D / R_D*)), and N' in the same form with R_N*.
"""

from collections.abc import Mapping

from bayes_atlas.laws import chinchilla
from bayes_atlas.laws._arrays import Array, namespace
from bayes_atlas.laws._repetition import effective_tokens as effective_tokens
from bayes_atlas.laws._repetition import value_and_slope

COVARIATES = ("params", "tokens", "unique")
PARAMETERS = chinchilla.PARAMETERS | {
    "R_D": "R_D*: epochs after which repeated tokens have lost most of their value",
    "R_N": "R_N*: the same for parameters in excess of what the unique tokens can use",
}

RUNNING = chinchilla.RUNNING
AXES_OF_COEFFICIENTS = True  # A and B decide what unique tokens can use, and so N'


def loss(
    params: Array,
    tokens: Array,
    unique: Array | None,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    R_D: Array,
    R_N: Array,
) -> Array:
    """Return the loss of `params` parameters trained on `tokens` tokens drawn from `unique` different ones (all > 0).

    `unique` may be infinite, or None if nothing repeats. Parameters beyond what the distinct tokens can use
    (`usable_params`) count for less at any number of epochs, as in the paper. An over-sized model therefore loses even
    without repetition.
    """
    reached = axes(params, tokens, unique, A=A, B=B, alpha=alpha, beta=beta, R_D=R_D, R_N=R_N)
    return chinchilla.loss(reached["alpha"], reached["beta"], E=E, A=A, B=B, alpha=alpha, beta=beta)


def terms(
    params: Array,
    tokens: Array,
    unique: Array | None = None,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    R_D: Array,
    R_N: Array,
    **_: Array,
) -> chinchilla.Terms:
    """Return the loss due to finite size and that due to finite data, at the same arguments (`E` does not matter)."""
    reached = axes(params, tokens, unique, A=A, B=B, alpha=alpha, beta=beta, R_D=R_D, R_N=R_N)
    return chinchilla.terms(reached["alpha"], reached["beta"], A=A, B=B, alpha=alpha, beta=beta)


def axes(
    params: Array,
    tokens: Array,
    unique: Array | None = None,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    R_D: Array,
    R_N: Array,
    **_: Array,
) -> dict[str, Array]:
    """Return what each exponent in `RUNNING` is an exponent of: N' and D'."""
    xp = namespace(params, tokens, unique, A, alpha)
    distinct = tokens if unique is None else xp.minimum(unique, tokens)
    usable = usable_params(distinct, A=A, B=B, alpha=alpha, beta=beta)
    size = effective_tokens(params, xp.minimum(usable, params), 1 / R_N)
    return {"alpha": size, "beta": effective_tokens(tokens, unique, 1 / R_D)}


def slopes(
    params: Array,
    tokens: Array,
    unique: Array | None,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    R_D: Array,
    R_N: Array,
    of_axes: Mapping[str, Array] | None = None,
    **_: Array,
) -> chinchilla.Slopes:
    """Return the slopes of the loss, at the same arguments (`E` does not matter).

    `of_axes` are the A and B that decide what unique tokens can use, if not those of the terms.
    """
    xp = namespace(params, tokens, unique, A, alpha)
    distinct = tokens if unique is None else xp.minimum(unique, tokens)
    coefficients = of_axes or {"A": A, "B": B}
    usable = xp.minimum(usable_params(distinct, **coefficients, alpha=alpha, beta=beta), params)
    size, with_params = value_and_slope(params, usable, 1 / R_N)
    data, with_tokens = value_and_slope(tokens, unique, 1 / R_D)
    term = chinchilla.slopes(size, data, A=A, B=B, alpha=alpha, beta=beta)
    # More distinct tokens make more parameters usable.
    with_usable = xp.where(distinct == tokens, (size - with_params) * beta / alpha, 0.0)
    return chinchilla.Slopes(
        term.params * with_params / size,
        term.tokens * with_tokens / data + term.params * with_usable / size,
    )


optimum = chinchilla.optimum  # valid without repetition: there D can use N parameters, so N' = N and D' = D


def usable_params(unique: Array, *, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """Return the size for which `unique` tokens seen once are compute-optimal: U_N of the paper before its cap at N."""
    xp = namespace(unique, A, alpha)
    return xp.exp((xp.log(alpha * A / (beta * B)) + beta * xp.log(unique)) / alpha)
