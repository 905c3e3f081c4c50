"""Covariates of laws, by name: one function from a run table to a value for each row.

A law names its covariates in ``COVARIATES``, a model takes them as arguments, and both find them here. To add one,
write its function and enter it in `COVARIATES`. A column of numbers needs no function, only its name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.data.runs import share_of_family, total_tokens
from bayes_atlas.errors import InputError

OF_SOURCES = ("source_tokens", "source_unique", "other_tokens", "other_unique")  # `bayes_atlas.data.runs` has these


@dataclass(frozen=True)
class Units:
    """Reference sizes by which covariates are divided."""

    params: float
    tokens: float | Floats  # one number, or ``(row,)``


COVARIATES: dict[str, Callable[[xr.Dataset, Units], Floats]] = {
    "params": lambda runs, units: runs["params"].to_numpy() / units.params,
    "tokens": lambda runs, units: runs["tokens"].to_numpy() / units.tokens,
    "unique": lambda runs, units: runs["unique"].to_numpy() / units.tokens,
    "languages": lambda runs, _: runs["languages"].to_numpy(),
    "total_tokens": lambda runs, units: total_tokens(runs) / units.tokens,
    "share": lambda runs, _: share_of_family(runs),
}


def covariate(runs: xr.Dataset, name: str, units: Units) -> Floats:
    """Return the covariate `name` of every row, ``(row,)``: one of `COVARIATES`, or a column of numbers of the table.

    Raises:
        InputError: the table has no such column of numbers; the message lists the covariates that it has.
    """
    if name in COVARIATES:
        return COVARIATES[name](runs, units)
    if name not in numeric_columns(runs):
        known = sorted({*COVARIATES, *OF_SOURCES, *numeric_columns(runs)})
        raise InputError(
            f"{runs.attrs['name']} has no covariate {name!r}; add a column {name} of numbers to the run table, or use "
            f"some of: {', '.join(known)}"
        )
    return runs[name].to_numpy().astype(float)


def covariates(runs: xr.Dataset, names: Iterable[str], units: Units) -> dict[str, Floats]:
    """Return `covariate` by name, without those of other sources (`OF_SOURCES`), which depend on the named sources."""
    return {name: covariate(runs, name, units) for name in names if name not in OF_SOURCES}


def numeric_columns(runs: xr.Dataset) -> list[str]:
    """Return the names of the columns that hold a number for every row."""
    return [str(name) for name in runs if runs[name].dims == ("row",) and np.issubdtype(runs[name].dtype, np.number)]
