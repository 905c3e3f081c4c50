"""Summaries of draws."""

from collections.abc import Mapping
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags
from bayes_atlas.decisions.monte_carlo import quantile_errors
from bayes_atlas.errors import InputError


class Error(TypedDict):
    """Monte Carlo standard error of a summary, None where draws are too few to tell."""

    lower: float | None
    median: float | None
    upper: float | None


class Summary(TypedDict):
    """Summary of a quantity's draws, as in the JSON document."""

    median: float
    mean: float
    lower: float
    upper: float
    probability: float  # of the interval from `lower` to `upper`
    kind: Literal["eti"]  # equal-tailed: the probability below `lower` equals that above `upper`
    mcse: Error


def levels(probability: float) -> list[float]:
    """Return the levels of the lower end, the median and the upper end of an equal-tailed interval.

    Raises:
        InputError: `probability` is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability}; it must lie between 0 and 1, such as 0.9")
    return [(1 - probability) / 2, 0.5, (1 + probability) / 2]


def summarise(
    draws: NDArray[np.float64], probability: float = 0.9, *, chains: int = 1, among: Flags | None = None
) -> Summary:
    """Return median, mean and equal-tailed interval of `draws` ``(draw,)``, with their Monte Carlo errors.

    Args:
        draws: one chain after the other.
        probability: of the interval.
        chains: number of chains.
        among: ``(draw,)`` True for draws that count, such as those with a crossover; all by default.

    Raises:
        InputError: `probability` is not between 0 and 1.
    """
    wanted = levels(probability)
    counted = draws if among is None else draws[among]
    lower, median, upper = np.quantile(counted, wanted)
    errors = quantile_errors(draws, wanted, chains, among)
    return {
        "median": float(median),
        "mean": float(counted.mean()),
        "lower": float(lower),
        "upper": float(upper),
        "probability": probability,
        "kind": "eti",
        "mcse": {"lower": errors[0], "median": errors[1], "upper": errors[2]},
    }


def summarise_all(
    quantities: Mapping[str, NDArray[np.float64]], probability: float = 0.9, *, chains: int = 1
) -> dict[str, Summary]:
    """Return `summarise` of every quantity, by name."""
    return {name: summarise(draws, probability, chains=chains) for name, draws in quantities.items()}
