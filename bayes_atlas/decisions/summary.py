"""Summaries of draws."""

from collections.abc import Mapping
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.errors import InputError


class Summary(TypedDict):
    """Summary of a quantity's draws, as in the JSON document."""

    median: float
    mean: float
    lower: float
    upper: float
    probability: float  # of the interval from `lower` to `upper`
    kind: Literal["eti"]  # equal-tailed: the probability below `lower` equals that above `upper`


def summarise(draws: NDArray[np.float64], probability: float = 0.9) -> Summary:
    """Return median, mean and equal-tailed interval of `draws` ``(draw,)``.

    Raises:
        InputError: `probability` is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability}; it must lie between 0 and 1, such as 0.9")
    lower, median, upper = np.quantile(draws, [(1 - probability) / 2, 0.5, (1 + probability) / 2])
    return {
        "median": float(median),
        "mean": float(draws.mean()),
        "lower": float(lower),
        "upper": float(upper),
        "probability": probability,
        "kind": "eti",
    }


def summarise_all(quantities: Mapping[str, NDArray[np.float64]], probability: float = 0.9) -> dict[str, Summary]:
    """Return `summarise` of every quantity, by name."""
    return {name: summarise(draws, probability) for name, draws in quantities.items()}
