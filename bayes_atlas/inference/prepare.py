"""A table made ready for a fit: its model found, its rows chosen and arranged, its kind checked."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr

from bayes_atlas.catalogue import NameOrPath, covariates_of, find_model, layout_of, load_model
from bayes_atlas.data.runs import SCRATCH, count_all_tokens, group_runs
from bayes_atlas.errors import InputError
from bayes_atlas.inference.tau_prior import tau_prior
from bayes_atlas.laws import get_law
from bayes_atlas.observations.crossings import CrossingData, arrange_crossings
from bayes_atlas.observations.curves import STARTED, ModelData, arrange
from bayes_atlas.observations.pairs import PairData, arrange_pairs
from bayes_atlas.posterior import Posterior
from bayes_atlas.sampler import Settings

NAMED_SOURCES = 3  # as in the paper
KINDS = {  # layout -> variable of its table, reader
    "curves": ("loss", "read_runs"),
    "pairs": ("score", "read_scores"),
    "crossings": ("crossover", "read_crossings"),
}
type Arranged = ModelData | PairData | CrossingData


class UnlikeError(InputError):
    """Tables that one program cannot serve."""


@dataclass(frozen=True)
class Task:
    """What to do with each table."""

    model: str  # by which the posterior finds it again
    path: Path
    module: ModuleType
    law: str
    settings: Settings
    platform: str
    kept: int  # draws per chain
    with_data: bool
    began: float

    @classmethod
    def of(cls, model: NameOrPath, keep: int | None, with_data: bool, settings: Settings, platform: str) -> "Task":
        if keep is not None and keep < 1:
            raise InputError(f"keep is {keep}; it must be at least 1, or None for all draws")
        path = find_model(model)
        module = _loaded(path, hashlib.sha256(path.read_bytes()).hexdigest())
        return cls(
            model=path.stem if str(model) == path.stem else str(model),
            path=path,
            module=module,
            law=_law_of(module, path),
            settings=settings,
            platform=platform,
            kept=settings.draws if keep is None else min(keep, settings.draws),
            with_data=with_data,
            began=time.monotonic(),
        )


@lru_cache(maxsize=64)
def _loaded(path: Path, sha256: str) -> ModuleType:
    """A model file, executed once for each text of it: compiled programs are found by the function it defines."""
    return load_model(path)


@dataclass(frozen=True)
class Selection:
    """What of a run table is fitted."""

    languages: Sequence[str]
    by: Sequence[str]
    sources: int
    others: bool
    all_tokens: bool

    def __post_init__(self) -> None:
        if self.sources < 0:
            raise InputError(f"sources is {self.sources}; give a count of at least 0, such as {NAMED_SOURCES}")


@dataclass(frozen=True)
class Prepared:
    """A table as it is fitted."""

    name: str
    sha256: str
    left_out: dict[str, int]  # reason -> rows
    ranges: dict[str, tuple[float, float]]
    data: Arranged
    tau_from: str = ""

    @classmethod
    def of(cls, runs: xr.Dataset, task: Task, selection: Selection) -> "Prepared":
        wanted, layout = covariates_of(task.module.model), layout_of(task.path)
        _check_kind(runs, layout, task.model)
        name, sha256 = runs.attrs["name"], runs.attrs["sha256"]
        if layout != "curves":
            if selection.languages or selection.by:
                raise InputError(f"languages and by choose among runs, and {name} is no run table; leave them out")
            measured = arrange_pairs(runs) if layout == "pairs" else arrange_crossings(runs)
            return cls(name, sha256, {}, {}, measured)
        fitted, left_out = _select(runs, selection.languages, every_start=STARTED in wanted)
        fitted = group_runs(fitted, selection.by) if selection.by else fitted
        fitted = count_all_tokens(fitted) if selection.all_tokens else fitted
        arranged = arrange(fitted, wanted, sources=selection.sources, others=selection.others)
        return cls(name, sha256, left_out, _ranges(fitted), arranged)

    def with_tau(self, scores: Posterior, task: Task) -> "Prepared":
        """With the prior of tau that a posterior of transfer scores gives."""
        if "tau_prior" not in covariates_of(task.module.model):
            raise InputError(
                f"model {task.model} has no tau to take from {scores.name}; leave tau_from out, or fit atlas"
            )
        prior = tau_prior(scores, self.data.sources)
        data = replace(self.runs, covariates=self.runs.covariates | {"tau_prior": prior})
        return replace(self, data=data, tau_from=f"{scores.name} sha256:{scores.info.draws_sha256}")

    @property
    def runs(self) -> ModelData:
        """What there is of a run table."""
        if not isinstance(self.data, ModelData):
            raise InputError(f"{self.name} is no run table, and only run tables are fitted together; fit it alone")
        return self.data


def _check_kind(table: xr.Dataset, layout: str, model: str) -> None:
    """That a table is of the kind that a model takes."""
    kind, reader = KINDS[layout]
    if kind not in table:
        given = next((name for name in KINDS.values() if name[0] in table), ("", "another table"))
        raise InputError(f"model {model} takes a table from {reader}, this is from {given[1]}; choose another model")


def check_alike(tables: Sequence[Prepared]) -> None:
    """That one program can serve all tables."""
    if not tables:
        raise InputError("there are no tables to fit; give at least one")
    first = tables[0].runs
    for number, table in enumerate(tables):
        if len(table.data.languages) != len(first.languages):
            raise UnlikeError(
                f"table {number} ({table.name}) has {len(table.data.languages)} languages, the first has "
                f"{len(first.languages)}; fit tables of as many languages together"
            )
        for name, values in table.data.covariates.items():
            if _kind(values) != _kind(first.covariates[name]):
                raise UnlikeError(
                    f"table {number} ({table.name}) differs from the first in {name}, which only one of them has or in "
                    f"how many sources it has; fit them apart"
                )
        if (table.runs.curves.epochs is None) != (first.curves.epochs is None):
            raise UnlikeError(f"table {number} ({table.name}) and the first do not both repeat data; fit them apart")


def _kind(values: object) -> object:
    return values.shape[2:] if isinstance(values, np.ndarray) else values is None


def _law_of(module: ModuleType, path: Path) -> str:
    law = getattr(module, "LAW", None)
    if not isinstance(law, str):
        raise InputError(f"{path} does not name its law; add a line such as LAW = 'chinchilla'")
    get_law(law)
    return law


def _select(runs: xr.Dataset, languages: Sequence[str], *, every_start: bool) -> tuple[xr.Dataset, dict[str, int]]:
    """Rows to fit: of the `languages` asked for, and of runs from scratch, which is what most laws describe.

    Also how many rows each of the two conditions left out.
    """
    known = np.unique(runs["language"].to_numpy()).tolist()
    unknown = [language for language in languages if language not in known]
    if unknown:
        raise InputError(f"{runs.attrs['name']} has no language {unknown[0]!r}; choose from: {', '.join(known)}")
    wanted = np.isin(runs["language"].to_numpy(), list(languages) or known)
    scratch = (runs["init"].to_numpy() == SCRATCH) | every_start
    if not (wanted & scratch).any():
        raise InputError(
            f"no run of {runs.attrs['name']} started from scratch (column init), and this model describes only those; "
            f"add runs with init = {SCRATCH}"
        )
    left_out = {
        "are of other languages": int((~wanted).sum()),
        "started from a checkpoint": int((wanted & ~scratch).sum()),
    }
    return runs.isel(row=wanted & scratch), {reason: rows for reason, rows in left_out.items() if rows}


def _ranges(runs: xr.Dataset) -> dict[str, tuple[float, float]]:
    columns = {name: runs[name].to_numpy() for name in ("params", "tokens", "compute")}
    columns["epochs"] = columns["tokens"] / np.minimum(runs["unique"].to_numpy(), columns["tokens"])
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}
