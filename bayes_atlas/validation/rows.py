"""Fitted and held-out rows of a run table, each part with its own name and hash."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags
from bayes_atlas.data.runs import SCRATCH
from bayes_atlas.errors import InputError


class Fold(NamedTuple):
    """Fitted rows, and rows to score."""

    name: str
    fitted: xr.Dataset
    rows: xr.Dataset


def from_scratch(runs: xr.Dataset, left_out: dict[str, int]) -> xr.Dataset:
    """Return the rows of runs from scratch, and count the others in `left_out`.

    Raises:
        InputError: there is no run from scratch.
    """
    scratch = labels(runs, "init") == SCRATCH
    if not scratch.any():
        raise InputError(
            f"no run of {name_of(runs)} started from scratch (column init); add runs with init = {SCRATCH}"
        )
    count(left_out, "started from a checkpoint", ~scratch)
    return runs.isel(row=scratch)


def known(fold: Fold, left_out: dict[str, int]) -> Fold:
    """Return `fold` without rows of languages that have no fitted rows, and count these rows in `left_out`.

    Raises:
        InputError: no held-out language has fitted rows.
    """
    known = np.isin(labels(fold.rows, "language"), labels(fold.fitted, "language"))
    if not known.any():
        raise InputError(
            f"no language of the held-out rows ({listed(np.unique(labels(fold.rows, 'language')))}) has fitted rows; "
            f"hold out other runs, or add runs of these languages"
        )
    count(left_out, "had no fitted row of the same language", ~known)
    return fold._replace(rows=fold.rows.isel(row=known))


def part(runs: xr.Dataset, chosen: Flags, what: str) -> xr.Dataset:
    """Return the `chosen` rows, with their own name and hash."""
    sha256 = hashlib.sha256(str(runs.attrs["sha256"]).encode() + chosen.tobytes()).hexdigest()
    return runs.isel(row=chosen).assign_attrs(name=f"{name_of(runs)} ({what})", sha256=sha256)


def count(left_out: dict[str, int], reason: str, rows: Flags) -> None:
    if rows.any():
        left_out[reason] = left_out.get(reason, 0) + int(rows.sum())


def labels(runs: xr.Dataset, name: str) -> NDArray[np.str_]:
    return runs[name].to_numpy().astype(str)


def name_of(runs: xr.Dataset) -> str:
    return str(runs.attrs["name"])


def listed(names: Any) -> str:
    return ", ".join(map(str, names))
