"""ATLAS: Chinchilla on effective tokens (Longpre et al. 2025, arXiv 2510.22037, Eqs. 1-3).

L(N, D_eff) = E + A / N^alpha + B / D_eff^beta
D_eff = S_lam(D_t; U_t) + sum_i tau_i S_lam(D_i; U_i) + tau_other S_lam(D_other; U_other)

D_t are the target language's own tokens, D_i those of named source languages, and D_other those of all other sources. A
token of source i is worth `tau_i` of the target's own tokens; negative values are interference. The paper's ablations
(Table 1) are this law without sources or without D_other.
"""

from typing import TypedDict, Unpack

from bayes_atlas.laws import _repetition as repetition
from bayes_atlas.laws import chinchilla
from bayes_atlas.laws._arrays import Array, namespace

COVARIATES = (
    "params",
    "tokens",
    "unique",
    "source_tokens",
    "source_unique",
    "other_tokens",
    "other_unique",
)
PARAMETERS = (
    chinchilla.PARAMETERS
    | repetition.PARAMETERS
    | {
        "tau": "transfer weight: worth of a source's token, in tokens of the target",
        "tau_other": "transfer weight of all remaining sources together",
    }
)

OPTIONAL = ("tau", "tau_other")
RUNNING = chinchilla.RUNNING

# Interference may not make data worse than none. Below this share of the target's own effective tokens, D_eff bends
# (continuously differentiably) towards zero instead of crossing it. The paper states no guard.
GUARD = 0.1


class Borrowed(TypedDict, total=False):
    """Parameters of transfer, and the training tokens from other languages.

    `source_tokens`, `source_unique` and `tau` have the sources on their last axis; the others broadcast without it.
    Absent sources (None) contribute nothing. If a `unique` of any kind is None, none of those tokens repeats. `tau`
    is required with `source_tokens`.
    """

    tau: Array
    tau_other: Array
    source_tokens: Array | None
    source_unique: Array | None
    other_tokens: Array | None
    other_unique: Array | None


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
    lam: Array,
    **borrowed: Unpack[Borrowed],
) -> Array:
    """Return the loss on the target language, for `params` parameters, its own `tokens` and tokens of other languages.

    `borrowed` are tau and the covariates of other sources: see `Borrowed`.
    """
    effective = effective_tokens(tokens, unique, lam=lam, **borrowed)
    return chinchilla.loss(params, effective, E=E, A=A, B=B, alpha=alpha, beta=beta)


def terms(
    params: Array,
    tokens: Array,
    unique: Array | None = None,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    lam: Array,
    E: Array = 0.0,
    **borrowed: Unpack[Borrowed],
) -> chinchilla.Terms:
    """Return the loss due to finite size and that due to finite data, at the same arguments (`E` does not matter)."""
    effective = effective_tokens(tokens, unique, lam=lam, **borrowed)
    return chinchilla.terms(params, effective, A=A, B=B, alpha=alpha, beta=beta)


def axes(
    params: Array,
    tokens: Array,
    unique: Array | None = None,
    *,
    lam: Array,
    E: Array = 0.0,
    A: Array = 0.0,
    B: Array = 0.0,
    alpha: Array = 0.0,
    beta: Array = 0.0,
    **borrowed: Unpack[Borrowed],
) -> dict[str, Array]:
    """Return what each exponent in `RUNNING` is an exponent of; only `lam` and `borrowed` matter."""
    return {"alpha": params, "beta": effective_tokens(tokens, unique, lam=lam, **borrowed)}


def slopes(
    params: Array,
    tokens: Array,
    unique: Array | None,
    *,
    E: Array = 0.0,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    lam: Array,
    **borrowed: Unpack[Borrowed],
) -> chinchilla.Slopes:
    """Return the slopes of the loss, at the same arguments (`E` does not matter)."""
    tau, tau_other = borrowed.get("tau", 0.0), borrowed.get("tau_other", 0.0)
    source_tokens, other_tokens = borrowed.get("source_tokens"), borrowed.get("other_tokens")
    xp = namespace(tokens, unique, lam, tau, tau_other, source_tokens, other_tokens)
    own, own_slope = repetition.value_and_slope(tokens, unique, lam)
    effective = effective_tokens(tokens, unique, lam=lam, **borrowed)
    term = chinchilla.slopes(params, effective, A=A, B=B, alpha=alpha, beta=beta)
    ratio = effective / own  # with the guard; `before` inverts it
    bend = xp.where(ratio >= GUARD, 1.0, (ratio / GUARD) ** 2)
    before = xp.where(ratio >= GUARD, ratio, 2 * GUARD - GUARD**2 / ratio)
    per_token = term.tokens / effective
    sources = others = None
    if source_tokens is not None:
        worth = repetition.slope(source_tokens, borrowed.get("source_unique"), xp.asarray(lam)[..., None])
        sources = (per_token * bend)[..., None] * tau * worth
    if other_tokens is not None:
        others = per_token * bend * tau_other * repetition.slope(other_tokens, borrowed.get("other_unique"), lam)
    own_tokens = per_token * own_slope * (ratio - bend * (before - 1))
    return chinchilla.Slopes(term.params, own_tokens, sources, others)


def effective_tokens(
    tokens: Array,
    unique: Array | None,
    *,
    lam: Array,
    tau: Array = 0.0,
    tau_other: Array = 0.0,
    source_tokens: Array | None = None,
    source_unique: Array | None = None,
    other_tokens: Array | None = None,
    other_unique: Array | None = None,
) -> Array:
    """Return D_eff: the effective tokens of the whole training mixture, in tokens of the target language (> 0)."""
    xp = namespace(tokens, unique, lam, tau, tau_other, source_tokens, other_tokens)
    own = repetition.effective_tokens(tokens, unique, lam)
    if source_tokens is None and other_tokens is None:
        return own
    borrowed = 0.0
    if other_tokens is not None:
        borrowed = tau_other * repetition.effective_tokens(other_tokens, other_unique, lam)
    if source_tokens is not None:
        worth = repetition.effective_tokens(source_tokens, source_unique, xp.asarray(lam)[..., None])
        borrowed = borrowed + xp.vecdot(tau, worth)
    return own * _guard(1 + borrowed / own)


def _guard(ratio: Array) -> Array:
    """Return `ratio` above GUARD; below, a rational curve with slope 1 at GUARD that tends to 0 at -infinity."""
    xp = namespace(ratio)
    below = xp.minimum(ratio, GUARD)
    return xp.where(ratio >= GUARD, ratio, GUARD**2 / (2 * GUARD - below))


optimum = chinchilla.optimum  # with the target language alone, without repetition


def tau_from_bts(bts: Array) -> Array:
    """Return the transfer weight of a bilingual transfer score: tau = BTS / (2 - BTS), by the definition of the score.

    This holds for a 50/50 bilingual run without repetition and without a capacity effect; `bts` < 2.
    """
    return bts / (2 - bts)


def bts_from_tau(tau: Array) -> Array:
    """Return the bilingual transfer score of a transfer weight `tau` (> -1): BTS = 2 tau / (1 + tau)."""
    return 2 * tau / (1 + tau)
