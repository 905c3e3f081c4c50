"""Splits of a run table into fitted and held-out rows: functions that return a boolean test mask ``(row,)``.

Checkpoints of a run are correlated, so a split holds out all rows of a run or none. The last checkpoint of a run
decides whether the run is large. Only the split by language is an exception: it holds out a language and keeps the
other languages of a run. The other splits are those of Longpre et al. (2025, arXiv 2510.22037, App. B.3). The paper
does not state how much it holds out by size and by compute.
"""

from collections.abc import Callable
from math import ceil

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags, Floats, Integers
from bayes_atlas.data.size_groups import size_step
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError

FRACTION = 0.2  # share of the runs, or of the mixtures, that is held out
LARGEST_SIZES = 0.05  # least share of the runs that `by_params` holds out, with as few sizes as possible
KEPT_RUNS = 3  # runs that are kept of a held-out language
SAME_SHARE = 0.01  # mixture shares that round to the same multiple of this are equal


def by_params(runs: xr.Dataset) -> Flags:
    """Hold out the largest model sizes: as few as have at least a twentieth of the runs.

    Raises:
        InputError: all models have one size.
    """
    run, sizes = _by_run(runs, size_step(runs["params"].to_numpy()))
    return _largest(sizes, LARGEST_SIZES, "params", "models of one size")[run]


def by_tokens(runs: xr.Dataset) -> Flags:
    """Hold out the fifth of the runs with the most training tokens of all languages together, including ties.

    Raises:
        InputError: all runs have the same number of tokens.
    """
    run, tokens = _by_run(runs, runs["source_tokens"].sum("source").to_numpy())
    return _largest(tokens, FRACTION, "tokens", "runs of one length")[run]


def by_compute(runs: xr.Dataset) -> Flags:
    """Hold out the fifth of the runs with the most compute, including ties.

    Raises:
        InputError: all runs have the same compute.
    """
    run, compute = _by_run(runs, runs["compute"].to_numpy())
    return _largest(compute, FRACTION, "compute", "runs of equal compute")[run]


def by_mixture(runs: xr.Dataset, seed: int = 0) -> Flags:
    """Hold out a random fifth of the mixtures, each with all its runs.

    A mixture is a value of the label ``mixture`` or, if the table has no such label, the shares of the sources. The
    candidates are mixtures of several sources, because a language without its monolingual runs may have no runs left.
    If a table with labels has fewer than two such mixtures, all labels are candidates.

    Raises:
        InputError: there are fewer than two candidates.
    """
    run, _ = _by_run(runs, runs["compute"].to_numpy())
    mixture, mixed = _mixtures(runs, run)
    candidates = np.unique(mixture[mixed])
    if len(candidates) < 2 and "mixture" in runs.coords:
        candidates = np.unique(mixture)
    if len(candidates) < 2:
        raise InputError(
            f"{_name(runs)} has fewer than two mixtures, so none can be held out; give the tokens of each source, "
            f"label the runs in a column mixture, or hold out random runs"
        )
    return np.isin(mixture, _some(candidates, seed))[run]


def by_random(runs: xr.Dataset, seed: int = 0) -> Flags:
    """Hold out a random fifth of the runs.

    Raises:
        InputError: there is a single run.
    """
    run, _ = _by_run(runs, runs["compute"].to_numpy())
    every = np.arange(run.max() + 1)
    if len(every) < 2:
        raise InputError(f"{_name(runs)} has a single run, so none would be left to fit; add runs")
    return np.isin(every, _some(every, seed))[run]


def by_language(runs: xr.Dataset, language: str, seed: int = 0) -> Flags:
    """Hold out the losses of one language, except for `KEPT_RUNS` random runs that anchor its curve.

    Raises:
        InputError: `language` has no more runs than are kept, or it is the only language.
    """
    own = runs["language"].to_numpy() == language
    names = np.unique(runs["run"].to_numpy()[own])
    if len(names) <= KEPT_RUNS:
        raise InputError(
            f"{_name(runs)} has {plural(len(names), 'run')} of the language {language!r}, and {KEPT_RUNS} runs have to "
            f"be kept; hold out a language with more runs"
        )
    if own.all():
        raise InputError(
            f"{_name(runs)} has no language but {language!r}, so no other language informs its prediction; add "
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
    """Return test masks ``(row,)`` by name of the fold.

    The split by language has one fold for each language with enough runs; every other split has one fold.

    Raises:
        InputError: there is no such split, or it leaves nothing to hold out or nothing to fit.
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
            f"no language of {_name(runs)} has more than {KEPT_RUNS} runs, as many as are kept of a held-out language; "
            f"add runs, or hold out random runs"
        )
    return {str(name): by_language(runs, str(name), seed) for name in enough}


def few_runs(runs: xr.Dataset) -> list[str]:
    """Return the languages with too few runs for a fold of their own."""
    names, counts = np.unique(_pairs(runs)[0], return_counts=True)
    return [str(name) for name in names[counts <= KEPT_RUNS]]


def _pairs(runs: xr.Dataset) -> NDArray[np.str_]:
    """Return the distinct pairs of language and run, ``(2, pair)``."""
    return np.unique([runs["language"].to_numpy().astype(str), runs["run"].to_numpy().astype(str)], axis=1)


def _name(runs: xr.Dataset) -> str:
    return str(runs.attrs["name"])


def _by_run(runs: xr.Dataset, values: Floats) -> tuple[Integers, Floats]:
    """Return the run of each row, counted from 0, and the largest value of each run."""
    run = np.unique(runs["run"].to_numpy(), return_inverse=True)[1]
    largest = np.full(run.max() + 1, -np.inf)
    np.maximum.at(largest, run, values)
    return run, largest


def _largest(values: Floats, fraction: float, column: str, what: str) -> Flags:
    """Mask the largest `fraction` of `values`, and ties with the least of them; never all values."""
    if values.min() == values.max():
        raise InputError(
            f"the table has only {what}, so no larger ones can be held out; add runs that differ in {column}, or "
            f"hold out random runs"
        )
    least = np.sort(values)[-_count(len(values), fraction)]
    return values >= least if least > values.min() else values > least


def _some(names: NDArray[np.generic], seed: int) -> NDArray[np.generic]:
    """Draw a random fifth of `names`, at least one and not all."""
    count = min(_count(len(names), FRACTION), len(names) - 1)
    return np.random.default_rng(seed).permutation(names)[:count]


def _count(size: int, fraction: float) -> int:
    return ceil(round(fraction * size, 9))


def _mixtures(runs: xr.Dataset, run: Integers) -> tuple[Integers, Flags]:
    """Return the mixture of each run, as a number, and whether it has several sources; both ``(run,)``."""
    tokens = np.zeros((run.max() + 1, runs.sizes["source"]))
    np.maximum.at(tokens, run, runs["source_tokens"].transpose("row", "source").to_numpy())
    mixed = np.count_nonzero(tokens, axis=1) > 1
    if "mixture" in runs.coords:
        labels = np.empty(len(tokens), dtype=runs["mixture"].dtype)
        labels[run] = runs["mixture"].to_numpy()
        return np.unique(labels, return_inverse=True)[1], mixed
    shares = np.round(tokens / tokens.sum(axis=1, keepdims=True) / SAME_SHARE)
    return np.unique(shares, axis=0, return_inverse=True)[1].ravel(), mixed
