"""Which rows are held out: functions from a run table to a boolean test mask ``(row,)``.

Checkpoints of a run are correlated, so a run is held out with all its rows or not at all, and whether it is large is
decided by its last checkpoint. Only the split by language keeps the other languages of a run: there a language is what
is held out. Splits are those of Longpre et al. (2025, arXiv 2510.22037, App. B.3), which leaves open how much of size
and compute they hold out, and by language.
"""

from collections.abc import Callable
from math import ceil

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags, Floats, Integers
from bayes_atlas.data.size_groups import size_step
from bayes_atlas.errors import InputError

FRACTION = 0.2  # of runs, or of mixtures
LARGEST_SIZES = 0.05  # least fraction of the runs that the largest sizes, as few of them as this takes, have
KEPT_RUNS = 3  # of a language that is held out
SAME_SHARE = 0.01  # shares of a mixture that round to one multiple of this are one share


def by_params(runs: xr.Dataset) -> Flags:
    """The largest model sizes: as few as have at least a twentieth of the runs."""
    run, sizes = _by_run(runs, size_step(runs["params"].to_numpy()))
    return _largest(sizes, LARGEST_SIZES, "params", "models of one size")[run]


def by_tokens(runs: xr.Dataset) -> Flags:
    """The fifth of the runs that trained longest, by tokens of all languages together; with their ties."""
    run, tokens = _by_run(runs, runs["source_tokens"].sum("source").to_numpy())
    return _largest(tokens, FRACTION, "tokens", "runs of one length")[run]


def by_compute(runs: xr.Dataset) -> Flags:
    """The fifth of the runs that took most compute, with their ties."""
    run, compute = _by_run(runs, runs["compute"].to_numpy())
    return _largest(compute, FRACTION, "compute", "runs of one compute")[run]


def by_mixture(runs: xr.Dataset, seed: int = 0) -> Flags:
    """A random fifth of the mixtures, each with all its runs.

    A mixture is a value of the label ``mixture`` or, where the table has none, the shares of the sources. Those of
    several sources are chosen from: without its monolingual runs a language may have none. Where a table with labels
    has fewer than two of these, all labels are.
    """
    run, _ = _by_run(runs, runs["compute"].to_numpy())
    mixture, mixed = _mixtures(runs, run)
    candidates = np.unique(mixture[mixed])
    if len(candidates) < 2 and "mixture" in runs.coords:
        candidates = np.unique(mixture)
    if len(candidates) < 2:
        raise InputError(
            f"{_name(runs)} has no two mixtures, of which one could be held out; give the tokens of each source, label "
            f"the runs in a column mixture, or hold out random runs"
        )
    return np.isin(mixture, _some(candidates, seed))[run]


def by_random(runs: xr.Dataset, seed: int = 0) -> Flags:
    """A random fifth of the runs."""
    run, _ = _by_run(runs, runs["compute"].to_numpy())
    every = np.arange(run.max() + 1)
    if len(every) < 2:
        raise InputError(f"{_name(runs)} has a single run, and none would be left to learn from; add runs")
    return np.isin(every, _some(every, seed))[run]


def by_language(runs: xr.Dataset, language: str, seed: int = 0) -> Flags:
    """The losses of one language but for `KEPT_RUNS` random runs of it, which say where it stands.

    Raises:
        InputError: `language` has no more runs than are kept; or it is the only one.
    """
    own = runs["language"].to_numpy() == language
    names = np.unique(runs["run"].to_numpy()[own])
    if len(names) <= KEPT_RUNS:
        raise InputError(
            f"{_name(runs)} has {len(names)} runs of the language {language!r}, of which {KEPT_RUNS} would be kept; "
            f"hold out a language with more of them"
        )
    if own.all():
        raise InputError(
            f"{_name(runs)} has no language but {language!r}, and others could tell nothing of it; add "
            f"runs of others, or hold out random runs"
        )
    kept = np.random.default_rng(seed).choice(names, KEPT_RUNS, replace=False)
    return own & ~np.isin(runs["run"].to_numpy(), kept)


SPLITS: dict[str, Callable[[xr.Dataset, int], Flags]] = {
    "params": lambda runs, _: by_params(runs),
    "tokens": lambda runs, _: by_tokens(runs),
    "compute": lambda runs, _: by_compute(runs),
    "mixture": by_mixture,
    "random": by_random,
}
HOLDOUTS = (*SPLITS, "language")


def folds(runs: xr.Dataset, holdout: str, seed: int = 0) -> dict[str, Flags]:
    """Test masks ``(row,)`` by name of the fold: one for most splits, by language one for each that has enough runs.

    Raises:
        InputError: no such split; or `runs` leave nothing to hold out, or nothing else.
    """
    if holdout in SPLITS:
        return {holdout: SPLITS[holdout](runs, seed)}
    if holdout not in HOLDOUTS:
        raise InputError(f"there is no split {holdout!r}; choose one of: {', '.join(HOLDOUTS)}")
    names, counts = np.unique(_pairs(runs)[0], return_counts=True)
    if len(names) < 2:
        raise InputError(
            f"{_name(runs)} has one language, {str(names[0])!r}; add runs of others, or hold out random runs"
        )
    enough = names[counts > KEPT_RUNS]
    if not len(enough):
        raise InputError(
            f"no language of {_name(runs)} has more than the {KEPT_RUNS} runs that are kept of one held out; add runs, "
            f"or hold out random runs"
        )
    return {str(name): by_language(runs, str(name), seed) for name in enough}


def few_runs(runs: xr.Dataset) -> list[str]:
    """Languages that have too few runs for a fold of their own."""
    names, counts = np.unique(_pairs(runs)[0], return_counts=True)
    return [str(name) for name in names[counts <= KEPT_RUNS]]


def _pairs(runs: xr.Dataset) -> NDArray[np.str_]:
    """Each language with each of its runs once, ``(2, pair)``."""
    return np.unique([runs["language"].to_numpy().astype(str), runs["run"].to_numpy().astype(str)], axis=1)


def _name(runs: xr.Dataset) -> str:
    return str(runs.attrs["name"])


def _by_run(runs: xr.Dataset, values: Floats) -> tuple[Integers, Floats]:
    """The run of each row, counted from 0, and each run's largest value."""
    run = np.unique(runs["run"].to_numpy(), return_inverse=True)[1]
    largest = np.full(run.max() + 1, -np.inf)
    np.maximum.at(largest, run, values)
    return run, largest


def _largest(values: Floats, fraction: float, column: str, what: str) -> Flags:
    """The largest `fraction` of `values`, or more where the least of these has ties; never all."""
    if values.min() == values.max():
        raise InputError(
            f"the table has only {what}, so that no larger ones can be held out; add runs that differ in {column}, or "
            f"hold out random runs"
        )
    least = np.sort(values)[-_count(len(values), fraction)]
    return values >= least if least > values.min() else values > least


def _some(names: NDArray[np.generic], seed: int) -> NDArray[np.generic]:
    """A random fifth of `names`, at least one and not all."""
    count = min(_count(len(names), FRACTION), len(names) - 1)
    return np.random.default_rng(seed).permutation(names)[:count]


def _count(size: int, fraction: float) -> int:
    return ceil(round(fraction * size, 9))


def _mixtures(runs: xr.Dataset, run: Integers) -> tuple[Integers, Flags]:
    """The mixture of each run, by number, and whether it has several sources: ``(run,)`` both."""
    tokens = np.zeros((run.max() + 1, runs.sizes["source"]))
    np.maximum.at(tokens, run, runs["source_tokens"].transpose("row", "source").to_numpy())
    mixed = np.count_nonzero(tokens, axis=1) > 1
    if "mixture" in runs.coords:
        labels = np.empty(len(tokens), dtype=runs["mixture"].dtype)
        labels[run] = runs["mixture"].to_numpy()
        return np.unique(labels, return_inverse=True)[1], mixed
    shares = np.round(tokens / tokens.sum(axis=1, keepdims=True) / SAME_SHARE)
    return np.unique(shares, axis=0, return_inverse=True)[1].ravel(), mixed
