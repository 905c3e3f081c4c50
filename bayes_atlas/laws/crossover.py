"""Crossover: loss of one language from scratch and from a checkpoint (Longpre et al. 2025, arXiv 2510.22037, §6).

On D effective tokens both follow `bayes_atlas.laws.chinchilla`, E + A / N^alpha + B / x^beta, with x of their own.

From scratch x = D, and a run that is too short to have caught on loses ``late`` more, which fades around ``onset``:

    E + A / N^alpha + B / D^beta + late / (1 + (D / onset)^steep).

From a checkpoint, D tokens come with D_0 D^delta tokens transferred (Hernandez et al. 2021, arXiv 2102.01293; with
delta = 0 the checkpoint is worth D_0 tokens whatever follows), and what they are worth together ends at ``limit``,
since weights that have learned something else before learn less of what is new (their "ossification"):

    x = y / (1 + (y / limit)^4)^(1/4)  with  y = D + D_0 D^delta.

Without a limit x > D throughout: with equal floors and exponents a checkpoint is never behind, however little it is
ahead. The limit is what makes a crossover: near it more data no longer help the checkpoint, whose loss ends at
E + A / N^alpha + B / limit^beta, and from scratch they do.
"""

from typing import TypedDict, Unpack

from bayes_atlas.laws._arrays import Array
from bayes_atlas.laws._repetition import effective_tokens as effective_tokens

SHARP = 4  # how abruptly the limit is met
COVARIATES = ("params", "tokens", "unique")
PARAMETERS = {
    "E": "irreducible loss",
    "A": "loss of a model of size 1 above E",
    "B": "loss on one token above E",
    "alpha": "exponent of size",
    "beta": "exponent of data",
    "lam": "decay of repeated tokens' worth, per epoch",
    "late": "loss from scratch that is left over where a run is too short to have caught on",
    "onset": "tokens at which half of `late` is gone",
    "steep": "exponent with which it goes",
    "D_0": "tokens that a checkpoint transfers to a run of one token",
    "delta": "exponent with which they grow with data, below 1",
    "limit": "tokens from scratch that a run from a checkpoint never gets beyond",
}

OPTIONAL = ("lam", "late", "onset", "steep", "D_0", "delta", "limit")


class Start(TypedDict, total=False):
    """Parameters of how a run began: one from scratch has no `D_0` and no `limit`, one from a checkpoint no `late`."""

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
    """Loss of `params` parameters after `tokens` of the language, of which `unique` there are; all broadcast.

    `start` are the parameters of how a run began: see `Start`.
    """
    late, onset, steep = (start.get(name, default) for name, default in (("late", 0.0), ("onset", 1.0), ("steep", 1.0)))
    seen = effective_tokens(tokens, unique, lam)
    reached = worth(
        seen, D_0=start.get("D_0", 0.0), delta=start.get("delta", 0.0), limit=start.get("limit", float("inf"))
    )
    return E + A / params**alpha + B / reached**beta + late / (1 + (seen / onset) ** steep)


def worth(seen: Array, *, D_0: Array, delta: Array, limit: Array) -> Array:
    """Tokens from scratch that `seen` effective tokens from a checkpoint are worth; at least 0, at most `limit`."""
    both = seen + D_0 * seen**delta
    return both / (1 + (both / limit) ** SHARP) ** (1 / SHARP)
