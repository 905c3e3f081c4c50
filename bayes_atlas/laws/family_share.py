"""Family share, "MSL": loss of a language as a function of its family's share of the mixture.

He et al. 2024, arXiv 2410.12883:
L_i(N, D, p_i) = ( E_i + A_i / N^alpha_i + B_i / D^beta_i ) * p_i^-gamma_i

D is the total number of tokens of the run and p_i the sampling share of the language's family.
"""

from bayes_atlas.laws import chinchilla
from bayes_atlas.laws._arrays import Array

COVARIATES = ("params", "total_tokens", "share")
PARAMETERS = chinchilla.PARAMETERS | {"gamma": "exponent of the loss in the inverse of the family's share"}


RUNNING = chinchilla.RUNNING


def terms(
    params: Array,
    total_tokens: Array,
    share: Array,
    *,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    gamma: Array,
    **_: Array,
) -> chinchilla.Terms:
    """Return the loss due to finite size and that due to finite data, at the same arguments (`E` does not matter)."""
    found = chinchilla.terms(params, total_tokens, A=A, B=B, alpha=alpha, beta=beta)
    return chinchilla.Terms(found.size * share**-gamma, found.data * share**-gamma)


def axes(params: Array, total_tokens: Array, share: Array, **_: Array) -> dict[str, Array]:
    """Return what each exponent in `RUNNING` is an exponent of, at the same arguments."""
    return {"alpha": params, "beta": total_tokens}


def loss(
    params: Array,
    total_tokens: Array,
    share: Array,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    gamma: Array,
) -> Array:
    """Return the loss of `params` parameters after `total_tokens`, a `share` in (0, 1] of them of the family."""
    return chinchilla.loss(params, total_tokens, E=E, A=A, B=B, alpha=alpha, beta=beta) * share**-gamma
