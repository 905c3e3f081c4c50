"""Capacity, the curse of multilinguality: the cost of each added language.

Longpre et al. 2025, arXiv 2510.22037, Eqs. 7-8:
L(K, N, D_t) = E + A K^phi / N^alpha + B K^psi / D_t^beta, with D_total = K D_t under even sampling.

phi > 0 is the burden on capacity, psi < 0 positive transfer between languages. The paper writes L_inf for `E`.
"""

from typing import NamedTuple

from bayes_atlas.laws import chinchilla
from bayes_atlas.laws._arrays import Array, namespace

COVARIATES = ("params", "tokens", "languages")
PARAMETERS = chinchilla.PARAMETERS | {
    "phi": "exponent of the number of languages in the size term",
    "psi": "exponent of the number of languages in the data term",
}
RUNNING = chinchilla.RUNNING | {"phi": ("A", 1), "psi": ("B", 1)}


def loss(
    params: Array,
    tokens: Array,
    languages: Array,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    phi: Array,
    psi: Array,
) -> Array:
    """Return the loss of `params` parameters trained on `tokens` of *each* of `languages` languages (all > 0)."""
    return chinchilla.loss(params, tokens, E=E, A=A * languages**phi, B=B * languages**psi, alpha=alpha, beta=beta)


def terms(
    params: Array,
    tokens: Array,
    languages: Array,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    phi: Array,
    psi: Array,
    **_: Array,
) -> chinchilla.Terms:
    """Return the loss due to finite size and that due to finite data, at the same arguments (`E` does not matter)."""
    return chinchilla.terms(params, tokens, A=A * languages**phi, B=B * languages**psi, alpha=alpha, beta=beta)


def axes(params: Array, tokens: Array, languages: Array, **_: Array) -> dict[str, Array]:
    """Return what each exponent in `RUNNING` is an exponent of, at the same arguments."""
    return {"alpha": params, "beta": tokens, "phi": languages, "psi": languages}


class Expansion(NamedTuple):
    """Growth factors that keep the loss with r times as many languages."""

    params: Array
    tokens: Array  # of all languages together
    tokens_per_language: Array
    compute: Array


def expansion(factor: Array, *, alpha: Array, beta: Array, phi: Array, psi: Array, **_: Array) -> Expansion:
    """Return the growth at equal loss for `factor` times as many languages, from a compute-optimal start (§5).

    The cheapest growth returns each term of the loss to its own value. Its factors depend neither on the start nor on
    `E`, `A`, `B` (which may be given).
    """
    params = factor ** (phi / alpha)
    per_language = factor ** (psi / beta)
    tokens = factor * per_language
    return Expansion(params, tokens, per_language, params * tokens)


def cheapest_expansion(
    factor: Array, weight: Array, *, alpha: Array, beta: Array, phi: Array, psi: Array, **_: Array
) -> Expansion:
    """Return the growth at equal loss with the least compute, from any start: Eq. 8 with its stationarity (§5).

    `weight` is `size_weight` at the start. From a compute-optimal start this is `expansion`. From another start it also
    corrects the balance of size and data, so factors may be below 1.
    """
    params = (factor**phi * weight * (alpha + beta) / beta) ** (1 / alpha)
    per_language = (factor**psi * (1 - weight) * (alpha + beta) / alpha) ** (1 / beta)
    tokens = factor * per_language
    return Expansion(params, tokens, per_language, params * tokens)


def size_weight(
    params: Array,
    tokens: Array,
    languages: Array,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    phi: Array,
    psi: Array,
) -> Array:
    """Return w_N, the share of reducible loss due to finite size; beta / (alpha + beta) at a compute-optimal point."""
    size = A * languages**phi * params**-alpha
    return size / (size + B * languages**psi * tokens**-beta)


def tokens_at_equal_loss(
    factor: Array,
    params_factor: Array,
    weight: Array,
    *,
    alpha: Array,
    beta: Array,
    phi: Array,
    psi: Array,
) -> Array:
    """Return the factor on tokens per language that keeps the loss (Eq. 8), given the factors on languages and size.

    `weight` is `size_weight` at the start. The result is NaN if no amount of data suffices: ``params_factor**alpha``
    must exceed ``factor**phi * weight``.
    """
    xp = namespace(factor, params_factor, weight, alpha, beta, phi, psi)
    left = 1 - factor**phi * weight * params_factor**-alpha
    feasible = xp.where(left > 0, left, xp.nan)
    return (factor**psi * (1 - weight) / feasible) ** (1 / beta)
