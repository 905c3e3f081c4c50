"""Bilingual studies: which runs of a run table compare a language alone with the same language and a partner.

A score compares the two at one model size, in one vocabulary and from scratch: what else differs is taken for transfer.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Flags
from bayes_atlas.data.runs import SCRATCH
from bayes_atlas.errors import InputError

SAME = 0.02  # relative difference up to which sizes are the same, and tokens of two languages half and half


@dataclass(frozen=True)
class Study:
    """Runs that can be compared."""

    runs: xr.Dataset  # alone or half and half, of one size, each language with both
    params: float
    left_out: dict[str, int]  # reason -> rows


def bilingual_study(runs: xr.Dataset, params: float | None = None) -> Study:
    """Choose the runs of a run table that transfer scores can be measured by.

    Args:
        runs: a run table, from `read_runs`.
        params: model size to choose; may be left out where runs half and half have only one.

    Raises:
        InputError: no such runs; or they differ in size or vocabulary, so that a choice has to be made.
    """
    name = runs.attrs["name"]
    _, alone, half = partner_shares(runs)
    scratch = runs["init"].to_numpy() == SCRATCH
    if not (half & scratch).any():
        raise InputError(
            f"{name} has no run from scratch on two languages half and half; give tokens of both, as tokens.<language>"
        )
    size = _chosen_size(runs, half & scratch, params)
    of_size = np.isclose(runs["params"].to_numpy(), size, rtol=SAME)
    vocabulary = _same_vocabulary(runs, half & scratch & of_size)
    kept = (alone | half) & scratch & of_size & vocabulary
    language = runs["language"].to_numpy()
    compared = kept & np.isin(language, np.intersect1d(language[kept & alone], language[kept & half]))
    if not compared.any():
        raise InputError(
            f"{name} has no language with both a run alone and one half and half at {size:.3g} parameters, from "
            f"scratch and in one vocabulary; add the runs that are missing, or choose another size"
        )
    reasons = {
        "started from a checkpoint": ~scratch,
        "have other mixtures than one language or two half and half": scratch & ~(alone | half),
        "have another size": scratch & (alone | half) & ~of_size,
        "use another vocabulary": scratch & (alone | half) & of_size & ~vocabulary,
        "have nothing to compare with": kept & ~compared,
    }
    left_out = {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()}
    return Study(runs.isel(row=compared), size, left_out)


def partner_shares(runs: xr.Dataset) -> tuple[Flags, Flags, Flags]:
    """Which rows train on which other languages, ``(row, source)``; on none; on one, half and half: ``(row,)``."""
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
            raise InputError(f"runs half and half have several sizes, and a score is of one; choose params: {listed}")
        return float(sizes[0])
    if not np.isclose(sizes, params, rtol=SAME).any():
        raise InputError(f"params is {params:.6g}; no run half and half has that size; choose one of: {listed}")
    return params


def _same_vocabulary(runs: xr.Dataset, rows: Flags) -> Flags:
    """Rows in the vocabulary of `rows`; all of them where the table does not say."""
    if "vocabulary" not in runs.coords:
        return np.ones(len(rows), dtype=bool)
    vocabulary = runs["vocabulary"].to_numpy()
    used = np.unique(vocabulary[rows]).tolist()
    if len(used) > 1:
        raise InputError(
            f"runs half and half use several vocabularies ({', '.join(map(repr, used))}), whose losses cannot be "
            f"compared; give a table with one of them"
        )
    return vocabulary == used[0]
