"""Summary of a run table: its ranges by language, the parameters that it identifies, and its doubtful rows."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_atlas.data.identifiability import Finding, Range, extremes, findings
from bayes_atlas.data.plausibility import Doubt, doubts
from bayes_atlas.data.runs import LABELS


@dataclass(frozen=True)
class Extent:
    """Ranges of a set of rows, each (least, most), or None if the table does not state the quantity."""

    rows: int
    runs: int
    params: Range
    tokens: Range
    compute: Range
    languages: Range
    unique: Range | None  # over the rows that state it
    epochs: Range | None  # own tokens / own unique tokens, over the same rows


@dataclass(frozen=True)
class Description:
    """Summary of a run table."""

    name: str
    sources: list[str]
    total: Extent
    by_language: dict[str, Extent]
    init: dict[str, int]  # rows by the checkpoint from which training started
    labels: dict[str, dict[str, int]]  # rows by vocabulary and by mixture, if the table has these columns
    identified: list[Finding]
    warnings: list[Doubt]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts, ready for JSON."""
        return asdict(self)


def describe(runs: xr.Dataset) -> Description:
    """Describe `runs` (see `bayes_atlas.data.runs`) and what they identify. This takes up to a few seconds."""
    language = runs["language"].to_numpy()
    return Description(
        name=str(runs.attrs.get("name", "runs")),
        sources=[str(source) for source in runs["source"].to_numpy()],
        total=_extent(runs),
        by_language={str(name): _extent(runs.isel(row=language == name)) for name in np.unique(language)},
        init=_counts(runs["init"]),
        labels={name: _counts(runs[name]) for name in LABELS if name in runs.coords},
        identified=findings(runs),
        warnings=doubts(runs),
    )


def _extent(runs: xr.Dataset) -> Extent:
    unique = runs["unique"].to_numpy()
    stated = np.isfinite(unique)
    return Extent(
        rows=runs.sizes["row"],
        runs=len(np.unique(runs["run"].to_numpy())),
        params=extremes(runs["params"].to_numpy()),
        tokens=extremes(runs["tokens"].to_numpy()),
        compute=extremes(runs["compute"].to_numpy()),
        languages=extremes(runs["languages"].to_numpy()),
        unique=extremes(unique[stated]) if stated.any() else None,
        epochs=extremes((runs["tokens"].to_numpy() / unique)[stated]) if stated.any() else None,
    )


def _counts(labels: xr.DataArray) -> dict[str, int]:
    names, counts = np.unique(labels.to_numpy(), return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}
