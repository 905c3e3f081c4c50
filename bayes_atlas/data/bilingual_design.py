"""Bilingual studies: select the runs that compare monolingual with 50/50 bilingual training of the same language.

A transfer score compares the two at one model size, with one vocabulary, both trained from scratch. It counts any other
difference between the runs as transfer.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Flags
from bayes_atlas.data.runs import SCRATCH
from bayes_atlas.errors import InputError

SAME = 0.02  # relative difference up to which two sizes are equal, and a mixture of two languages is 50/50


@dataclass(frozen=True)
class Study:
    """The comparable runs of a run table."""

    runs: xr.Dataset  # monolingual or 50/50 bilingual runs of one model size; every language has both
    params: float  # number of parameters
    left_out: dict[str, int]  # reason, in the past tense -> number of rows


def bilingual_study(runs: xr.Dataset, params: float | None = None) -> Study:
    """Select the runs of a run table that measure transfer scores.

    Args:
        runs: a run table, from `read_runs`.
        params: model size to select, in parameters; optional if all 50/50 bilingual runs have one size.

    Raises:
        InputError: there are no such runs, or they differ in model size or vocabulary and the caller has to choose.
    """
    name = runs.attrs["name"]
    _, alone, half = partner_shares(runs)
    scratch = runs["init"].to_numpy() == SCRATCH
    if not (half & scratch).any():
        raise InputError(
            f"{name} has no 50/50 bilingual run from scratch; give the tokens of both languages, as tokens.<language>"
        )
    size = _chosen_size(runs, half & scratch, params)
    of_size = np.isclose(runs["params"].to_numpy(), size, rtol=SAME)
    vocabulary = _same_vocabulary(runs, half & scratch & of_size)
    kept = (alone | half) & scratch & of_size & vocabulary
    language = runs["language"].to_numpy()
    compared = kept & np.isin(language, np.intersect1d(language[kept & alone], language[kept & half]))
    if not compared.any():
        raise InputError(
            f"{name} has no language with both a monolingual and a 50/50 bilingual run at {size:.3g} parameters, from "
            f"scratch and with one vocabulary; add the missing runs, or choose another size"
        )
    reasons = {
        "started from a checkpoint": ~scratch,
        "trained on neither one language alone nor two in equal parts": scratch & ~(alone | half),
        "had another model size": scratch & (alone | half) & ~of_size,
        "used another vocabulary": scratch & (alone | half) & of_size & ~vocabulary,
        "had no run to compare with": kept & ~compared,
    }
    left_out = {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()}
    return Study(runs.isel(row=compared), size, left_out)


def partner_shares(runs: xr.Dataset) -> tuple[Flags, Flags, Flags]:
    """Return three masks of a run table.

    Returns:
        Other languages that a row trains on, ``(row, source)``; monolingual rows, ``(row,)``; 50/50 bilingual rows,
        ``(row,)``.
    """
    tokens = runs["source_tokens"].to_numpy()
    others = (tokens > 0) & (runs["source"].to_numpy() != runs["own"].to_numpy()[:, None])
    one = others.sum(axis=1) == 1
    half = one & np.isclose(np.where(others, tokens, 0.0).sum(axis=1), runs["tokens"].to_numpy(), rtol=SAME)
    return others, ~others.any(axis=1), half


def _chosen_size(runs: xr.Dataset, rows: Flags, params: float | None) -> float:
    sizes = np.unique(runs["params"].to_numpy()[rows])
    listed = ", ".join(f"{size:.6g}" for size in sizes)
    if params is None:
        if sizes[-1] > sizes[0] * (1 + SAME):
            raise InputError(
                f"50/50 bilingual runs have several model sizes, and a score compares runs of one; choose params: "
                f"{listed}"
            )
        return float(sizes[0])
    if not np.isclose(sizes, params, rtol=SAME).any():
        raise InputError(f"params is {params:.6g}; no 50/50 bilingual run has that size; choose one of: {listed}")
    return params


def _same_vocabulary(runs: xr.Dataset, rows: Flags) -> Flags:
    """Mask ``(row,)`` of rows with the vocabulary of `rows`; all True if the table has no vocabulary column."""
    if "vocabulary" not in runs.coords:
        return np.ones(len(rows), dtype=bool)
    vocabulary = runs["vocabulary"].to_numpy()
    used = np.unique(vocabulary[rows]).tolist()
    if len(used) > 1:
        raise InputError(
            f"50/50 bilingual runs use several vocabularies ({', '.join(map(repr, used))}), whose losses are not "
            f"comparable; give a table with one vocabulary"
        )
    return vocabulary == used[0]
