"""The table of crossovers: measured points at which training from scratch overtakes a checkpoint.

Columns ``language``, ``params``, ``tokens`` (of the crossover) and ``error``, the standard deviation of the log of
these tokens. A language ``all`` stands for a typical one, as in a rule that was read off.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_atlas.tabular import Fault, Table, TableError, parse, read_cells, row_faults, text_of

TYPICAL = "all"
NUMBERS = {
    "params": "give the number of parameters, such as 2e9",
    "tokens": "give the training tokens at the crossover; leave out runs that have none",
    "error": "give the standard deviation of the log of the tokens, such as .1",
}

type Array = Any  # NumPy's as arranged, JAX's inside a model


class CrossingTableError(TableError):
    """A table of crossovers that cannot be used, with all its `faults`."""

    KIND = "table of crossovers"
    NEEDED = f"language, {', '.join(NUMBERS)}"


class Crossings(NamedTuple):
    """Layout of the crossovers. A JAX pytree."""

    belongs: Array  # (run, language) 1 where the row is of the language
    typical: Array  # (run,) whether the row is of a typical language
    log_params: Array  # (run,) log of size in the reference's unit
    error: Array  # (run,)
    centre: Array  # mean log tokens at the reference


@dataclass(frozen=True)
class CrossingData:
    """What a model of crossovers is fitted to."""

    covariates: dict[str, object]  # `crossings`
    log_tokens: np.ndarray  # (run,)
    coords: dict[str, list[str]]  # language, run
    references: dict[str, dict[str, float]]
    sources: dict[str, list[str]] = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """Names of the languages."""
        return self.coords["language"]

    @property
    def rows(self) -> int:
        """Number of crossovers."""
        return len(self.log_tokens)

    @property
    def layout(self) -> dict[str, int]:
        """Arguments of `made_up_crossings` for crossovers like these."""
        return {}

    def packed(self) -> tuple[dict[str, object], np.ndarray]:
        """Covariates and crossovers as a program takes them."""
        return self.covariates, self.log_tokens

    def described(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Groups of a stored posterior that tell of single crossovers, and the dims of their variables."""
        crossings = self.covariates["crossings"]
        assert isinstance(crossings, Crossings)
        groups = {
            "log_likelihood": {"crossover": log_likelihood},
            "observed_data": {"log_crossover": self.log_tokens},
            "constant_data": {name: np.asarray(values) for name, values in crossings._asdict().items()},
        }
        of_run = {name: ["run"] for name in ("crossover", "log_crossover", "typical", "log_params", "error")}
        return groups, of_run | {"belongs": ["run", "language"], "centre": []}


def read_crossings(path: str | Path) -> xr.Dataset:
    """Read the table of crossovers at `path`, CSV in UTF-8 or Parquet.

    Returns:
        Dataset with dim ``row``: coord ``language``, variables ``params``, ``crossover`` (tokens), ``error``.

    Raises:
        CrossingTableError: the file cannot be read or breaks rules of the format; it carries all faults at once.
    """
    table, faults, sha256 = read_cells(Path(path), CrossingTableError)
    advice = f"a table of crossovers needs {CrossingTableError.NEEDED}"
    missing = [name for name in ("language", *NUMBERS) if name not in table.cells]
    faults += [Fault(None, name, "", "a column is missing", advice) for name in missing]
    if not faults and len(table.cells) == 0:
        faults.append(Fault(None, None, "", "there are no rows below the header", "give at least one crossover"))
    numbers = {} if faults else {name: _positive(table, name, faults) for name in NUMBERS}
    if not faults:
        languages = text_of(table.cells["language"])
        empty = languages.eq("").to_numpy()
        faults += row_faults(table, "language", empty, "must not be empty", "name the language of each row")
        if languages.eq(TYPICAL).all():
            faults.append(Fault(None, "language", "", f"all rows are of {TYPICAL!r}", "give at least one language"))
    if faults:
        raise CrossingTableError(table.name, sorted(faults, key=lambda fault: fault.row or 0))
    return xr.Dataset(
        {
            "params": ("row", numbers["params"]),
            "crossover": ("row", numbers["tokens"]),
            "error": ("row", numbers["error"]),
        },
        coords={"language": ("row", languages.to_numpy().astype(str))},
        attrs={"name": table.name, "sha256": sha256},
    )


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
    )


def restored_crossings(constant: xr.Dataset, observed: xr.Dataset) -> tuple[dict[str, Any], np.ndarray]:
    """Covariates and crossovers of a stored posterior: the inverse of `CrossingData.described`."""
    crossings = Crossings(**{name: constant[name].to_numpy() for name in Crossings._fields})
    return {"crossings": crossings}, observed["log_crossover"].to_numpy().astype(float)


def made_up_crossings(languages: int) -> tuple[Crossings, np.ndarray]:
    """Crossovers of so many languages and of a typical one, drawn at random but always the same."""
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


def _positive(table: Table, name: str, faults: list[Fault]) -> np.ndarray:
    values, absent, unreadable = parse(table.cells[name])
    wrong = absent | unreadable | ~(values > 0) | np.isinf(values)
    faults += row_faults(table, name, wrong, "must be a finite number > 0", NUMBERS[name])
    return values
