"""Crossover: loss of one language from scratch and from a checkpoint (Longpre et al. 2025, arXiv 2510.22037, §6).

Both curves in D effective tokens follow `bayes_atlas.laws.chinchilla`, E + A / N^alpha + B / x^beta, each with its x.

From scratch x = D. A short run, still in its slow initial phase, has an extra loss ``late``, which fades at ``onset``:

    E + A / N^alpha + B / D^beta + late / (1 + (D / onset)^steep).

From a checkpoint, D tokens come with D_0 D^delta transferred tokens (Hernandez et al. 2021, arXiv 2102.01293). With
delta = 0 the checkpoint is worth D_0 tokens at any D. The total is limited by ``limit``, because weights trained on
other data learn less from new data (their "ossification"):

    x = y / (1 + (y / limit)^4)^(1/4)  with  y = D + D_0 D^delta.

Without a limit x > D throughout. With equal floors and exponents a checkpoint then is never behind, however small its
lead. The limit causes the crossover: near it more data no longer help the checkpoint, whose loss ends at
E + A / N^alpha + B / limit^beta, but they still help from scratch.
"""

from typing import TypedDict, Unpack

from bayes_atlas.laws._arrays import Array
from bayes_atlas.laws._repetition import effective_tokens as effective_tokens

SHARP = 4  # sharpness of the limit
COVARIATES = ("params", "tokens", "unique")
PARAMETERS = {
    "E": "irreducible loss",
    "A": "loss of a model of size 1 above E",
    "B": "loss on one token above E",
    "alpha": "exponent of size",
    "beta": "exponent of data",
    "lam": "decay of the value of repeated tokens, per epoch",
    "late": "extra loss from scratch in the slow initial phase",
    "onset": "tokens at which half of `late` is gone",
    "steep": "exponent of the decay of `late` with tokens",
    "D_0": "transferred tokens of a checkpoint, for a run of one token",
    "delta": "exponent of transferred tokens in data, below 1",
    "limit": "upper limit on the worth of a run from a checkpoint, in tokens from scratch",
}

OPTIONAL = ("lam", "late", "onset", "steep", "D_0", "delta", "limit")


class Start(TypedDict, total=False):
    """Parameters of a run's start: a run from scratch has no `D_0` and no `limit`, one from a checkpoint no `late`."""

    late: Array
    onset: Array
    steep: Array
    D_0: Array
    delta: Array
    limit: Array


def loss(
    params: Array,
    tokens: Array,
    unique: Array | None = None,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    lam: Array = 0.0,
    **start: Unpack[Start],
) -> Array:
    """Return the loss of `params` parameters after `tokens` tokens, drawn from `unique` different ones; all broadcast.

    `start` are the parameters of the run's start: see `Start`.
    """
    late, onset, steep = (start.get(name, default) for name, default in (("late", 0.0), ("onset", 1.0), ("steep", 1.0)))
    seen = effective_tokens(tokens, unique, lam)
    reached = worth(
        seen, D_0=start.get("D_0", 0.0), delta=start.get("delta", 0.0), limit=start.get("limit", float("inf"))
    )
    return E + A / params**alpha + B / reached**beta + late / (1 + (seen / onset) ** steep)


def worth(seen: Array, *, D_0: Array, delta: Array, limit: Array) -> Array:
    """Return the worth of `seen` effective tokens from a checkpoint, in tokens from scratch; from 0 to `limit`."""
    both = seen + D_0 * seen**delta
    return both / (1 + (both / limit) ** SHARP) ** (1 / SHARP)
