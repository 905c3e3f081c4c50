"""Uniformity of ranks: simultaneous bands of their ECDF, and exact p-values (Säilynoja et al. 2022, arXiv 2103.10522).

A rank among L draws is one of 0 to L. If ranks are uniform, the number of them below i is binomial at each i from 1 to
L. The statistic of a set of ranks is twice its smallest tail probability over all i, so it is small if the ECDF leaves
the diagonal anywhere. Its distribution is computed exactly, not simulated. A correction for many looks needs p-values
far below what simulation resolves. `arviz_stats.ecdf_utils` simulates such bands for continuous values, without
p-values; the tests compare with it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, poisson

type Floats = NDArray[np.float64]
type Counts = NDArray[np.int64]

ROUNDING = 1e-9  # relative; tail probabilities that are closer are equal


class Bands(NamedTuple):
    """Least and largest numbers of ranks below 1 to L that lie inside the band; ``(L,)`` each."""

    lower: Counts
    upper: Counts


def rank(draws: Floats, truth: Floats, rng: np.random.Generator) -> Counts:
    """Return the rank of `truth` ``(..)`` among `draws` ``(draw, ..)``; ties have a random order."""
    ties = (draws == truth).sum(axis=0)
    return np.asarray((draws < truth).sum(axis=0) + rng.integers(0, ties, endpoint=True))


def below(ranks: Counts, draws: int) -> Counts:
    """Return how many of the `ranks` ``(table,)`` lie below 1, 2, .. `draws`: the ECDF as counts."""
    return np.asarray(np.bincount(ranks, minlength=draws + 1).cumsum()[:-1])


def p_value(ranks: Counts, draws: int) -> float:
    """Return the probability that uniform ranks among `draws` leave the diagonal as far as `ranks` ``(table,)`` do."""
    tails = _tails(len(ranks), draws)
    reached = tails[np.arange(draws), below(ranks, draws)].min()
    return _probability(tails, float(reached))


def bands(tables: int, draws: int, probability: float) -> Bands:
    """Return the narrowest such bands that hold the whole ECDF of uniform ranks with at least this probability."""
    tails = _tails(tables, draws)
    levels = np.unique(tails[tails < 1 - probability])
    at, above = -1, len(levels)  # the largest level that is left with a small enough probability
    while above - at > 1:
        middle = (at + above) // 2
        if _probability(tails, float(levels[middle])) <= 1 - probability:
            at = middle
        else:
            above = middle
    inside = tails > (levels[at] * (1 + ROUNDING) if at >= 0 else 0.0)
    return Bands(inside.argmax(axis=1), tables - inside[:, ::-1].argmax(axis=1))


def holm(p_values: Floats) -> Floats:
    """Return p-values ``(look,)`` corrected for their number (Holm 1979)."""
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


@lru_cache(maxsize=64)
def _tails(tables: int, draws: int) -> Floats:
    """Return twice the smaller tail probability of every count ``(i, count)`` of ranks below i = 1 to `draws`."""
    counts, part = np.arange(tables + 1), np.arange(1, draws + 1)[:, None] / (draws + 1)
    return 2 * np.minimum(binom.cdf(counts, tables, part), binom.sf(counts - 1, tables, part))


def _probability(tails: Floats, level: float) -> float:
    """Return the probability that the counts of uniform ranks reach a tail of at most `level` at any i.

    Independent Poisson counts in each of the L + 1 cells, given their sum, are those of uniform ranks. The paths are
    therefore followed from cell to cell, and what reaches a tail is added up: no small difference is taken.
    """
    draws, tables = len(tails), tails.shape[1] - 1
    step, rest = _steps(tables, draws)
    left, reached = np.zeros(tables + 1), 0.0
    left[0] = 1.0
    for number in range(draws):
        left = np.convolve(left, step)[: tables + 1]
        inside = tails[number] > level * (1 + ROUNDING)
        reached += float(np.where(inside, 0.0, left) @ rest[number])
        left = np.where(inside, left, 0.0)
    return min(reached, 1.0)


@lru_cache(maxsize=64)
def _steps(tables: int, draws: int) -> tuple[Floats, Floats]:
    """Return the probabilities of a cell's count, and those of the cells that are left to hold all the other ranks.

    The second, ``(i, count)``, are relative to the probability that all cells together hold as many as there are.
    """
    counts, mean = np.arange(tables + 1), tables / (draws + 1)
    cells = np.arange(draws, 0, -1)[:, None]
    rest = np.asarray(poisson.pmf(tables - counts, mean * cells)) / poisson.pmf(tables, tables)
    return np.asarray(poisson.pmf(counts, mean)), rest
