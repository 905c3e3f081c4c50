"""The table of crossovers in the form that a model takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Array
from bayes_atlas.data.crossings import TYPICAL, read_crossings
from bayes_atlas.data.selection import Selection
from bayes_atlas.errors import InputError
from bayes_atlas.folder.info import Staleness
from bayes_atlas.observations.kind import NO_CURVES, Covariates, Dims, Unpadded, no_selection


class Crossings(NamedTuple):
    """Layout of the crossovers. A JAX pytree."""

    belongs: Array  # (run, language) 1 if the row is of the language, else 0
    typical: Array  # (run,) True if the row is of a typical language
    log_params: Array  # (run,) log of size in units of the reference
    error: Array  # (run,) standard deviation of log tokens
    centre: Array  # mean of log crossover tokens


@dataclass(frozen=True)
class CrossingData(Unpadded):
    """The `Observations` of a table of crossovers."""

    covariates: Covariates  # `crossings`
    log_tokens: np.ndarray  # (run,)
    coords: dict[str, list[str]]  # language, run
    references: dict[str, dict[str, float]]
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """Names of the languages."""
        return self.coords["language"]

    @property
    def rows(self) -> int:
        """Number of crossovers."""
        return len(self.log_tokens)

    @property
    def units(self) -> int:
        """Number of crossovers."""
        return self.rows

    def padded(self, shape: None) -> tuple[Covariates, np.ndarray]:
        """Return covariates and crossovers without padding."""
        return self.covariates, self.log_tokens

    def probe(self) -> dict[str, Any]:
        """Return the fields of `Staleness` from which `made_up` makes a table like this one."""
        return NO_CURVES

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Return the groups of a stored posterior that describe single crossovers, and the dims of their variables."""
        crossings = self.covariates["crossings"]
        assert isinstance(crossings, Crossings)
        groups = {
            "log_likelihood": {"crossover": log_likelihood},
            "observed_data": {"log_crossover": self.log_tokens},
            "constant_data": {name: np.asarray(values) for name, values in crossings._asdict().items()},
        }
        of_run = {name: ["run"] for name in ("crossover", "log_crossover", "typical", "log_params", "error")}
        return groups, of_run | {"belongs": ["run", "language"], "centre": []}


def arrange_crossings(table: xr.Dataset) -> CrossingData:
    """Arrange a table of crossovers, from `read_crossings`, for a model."""
    of_row = table["language"].to_numpy()
    languages = [name for name in dict.fromkeys(of_row.tolist()) if name != TYPICAL]
    unit = float(np.exp(np.log(table["params"].to_numpy()).mean()))
    log_tokens = np.log(table["crossover"].to_numpy())
    crossings = Crossings(
        belongs=(of_row[:, None] == np.array(languages)).astype(float),
        typical=of_row == TYPICAL,
        log_params=np.log(table["params"].to_numpy() / unit),
        error=table["error"].to_numpy(),
        centre=np.array(log_tokens.mean()),
    )
    return CrossingData(
        covariates={"crossings": crossings},
        log_tokens=log_tokens,
        coords={"language": languages, "run": [f"{name}:{row + 1}" for row, name in enumerate(of_row)]},
        references={name: {"params": unit} for name in languages},
        ranges={"params": (float(table["params"].min()), float(table["params"].max()))},
    )


class CrossoverTable:
    """The kind ``crossings``: a table of measured crossovers."""

    name = "crossings"
    variable = "crossover"
    reader = "read_crossings"
    in_table_units = True

    def read(self, path: Path, traits: Path | None = None) -> xr.Dataset:
        """Read a table of crossovers by `read_crossings`; InputError if `traits` are given."""
        if traits is not None:
            raise InputError(f"--traits is for score tables, and {path.name} is a table of crossovers; leave it out")
        return read_crossings(path)

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> CrossingData:
        """Arrange all crossovers."""
        no_selection(table, selection)
        return arrange_crossings(table)

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, np.ndarray]:
        """Return covariates and crossovers of a stored posterior."""
        crossings = Crossings(**{name: constant[name].to_numpy() for name in Crossings._fields})
        return {"crossings": crossings}, observed["log_crossover"].to_numpy().astype(float)

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Make up crossovers of `languages` languages and of a typical one, the same for every seed."""
        crossings, log_tokens = made_up_crossings(languages)
        return {"crossings": crossings}, log_tokens


KIND = CrossoverTable()


def made_up_crossings(languages: int) -> tuple[Crossings, np.ndarray]:
    """Make up crossovers of `languages` languages and of a typical one, drawn at random with a fixed seed."""
    rng = np.random.default_rng(0)
    rows = 2 * languages + 1
    crossings = Crossings(
        belongs=np.eye(languages)[np.arange(rows) % languages],
        typical=np.arange(rows) == rows - 1,
        log_params=rng.normal(size=rows),
        error=np.full(rows, 0.1),
        centre=np.array(25.0),
    )
    return crossings, 25 + 0.3 * rng.normal(size=rows)
