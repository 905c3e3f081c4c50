"""Chinchilla: loss falls as a power of model size and of data (Hoffmann et al. 2022, arXiv 2203.15556).

L(N, D) = E + A / N^alpha + B / D^beta
"""

from typing import NamedTuple

from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.laws._arrays import Array, namespace


class Slopes(NamedTuple):
    """Slopes of the loss in the log of a run's size, of its own tokens and of its tokens from other sources."""

    params: Array
    tokens: Array
    source_tokens: Array | None = None  # last axis: source
    other_tokens: Array | None = None


class Terms(NamedTuple):
    """The two terms of reducible loss."""

    size: Array
    data: Array


COVARIATES = ("params", "tokens")
RUNNING = {"alpha": ("A", -1), "beta": ("B", -1)}  # exponent -> coefficient of its term, and sign of the exponent
PARAMETERS = {
    "E": "irreducible loss",
    "A": "loss due to finite size at the reference size",
    "B": "loss due to finite data at the reference data",
    "alpha": "exponent of size",
    "beta": "exponent of data",
}


def loss(params: Array, tokens: Array, *, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """Return the loss of a model of `params` parameters trained on `tokens` tokens.

    All arguments are positive and broadcast. `A` and `B` are in the units of `params` and `tokens`. With raw counts
    they are the published constants. With sizes divided by a reference they are losses at that reference.
    """
    return E + A * power(params, -alpha) + B * power(tokens, -beta)


def terms(params: Array, tokens: Array, *, A: Array, B: Array, alpha: Array, beta: Array, **_: Array) -> Terms:
    """Return the loss due to finite size and that due to finite data, at the same arguments (`E` does not matter)."""
    return Terms(A * power(params, -alpha), B * power(tokens, -beta))


def axes(params: Array, tokens: Array, **_: Array) -> dict[str, Array]:
    """Return what each exponent in `RUNNING` is an exponent of, at the same arguments."""
    return {"alpha": params, "beta": tokens}


def slopes(params: Array, tokens: Array, *, A: Array, B: Array, alpha: Array, beta: Array, **_: Array) -> Slopes:
    """Return the slopes of the loss, at the same arguments (`E` does not matter)."""
    return Slopes(-alpha * A * power(params, -alpha), -beta * B * power(tokens, -beta))


def power(size: Array, exponent: Array) -> Array:
    """Return ``size**exponent`` for sizes > 0, in the form with the fastest derivative by the exponent."""
    xp = namespace(size, exponent)
    return xp.exp(exponent * xp.log(size))


def optimum(compute: Array, *, A: Array, B: Array, alpha: Array, beta: Array, **_: Array) -> tuple[Array, Array]:
    """Return size and data of least loss under ``compute = 6 * params * tokens`` (Hoffmann et al. 2022, Eq. 4).

    The result is ``(params, tokens)``. Other parameters of the law (``E``) may be given and do not matter.
    """
    product = compute / TRAINING_FLOPS
    scale = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    params = scale * product ** (beta / (alpha + beta))
    return params, product / params
