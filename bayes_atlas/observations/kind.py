"""Kinds of tables. A kind can read, arrange, pad, store, restore and make up its tables.

A model takes the kind whose name is one of its covariates: ``curves``, ``pairs`` or ``crossings``. To add a kind, write
its reader in `bayes_atlas.data`. Then write a module here, named after the kind, with an object ``KIND``, and add the
name to `KINDS`. Nothing else in the engine depends on the kind of a table.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import ModelFile
from bayes_atlas.data.selection import Selection
from bayes_atlas.errors import InputError
from bayes_atlas.folder.info import Staleness

KINDS = {  # covariate -> name
    "curves": "run table",
    "pairs": "score table",
    "crossings": "table of crossovers",
    "evidence": "evidence table",
}
RUNS = "curves"  # the kind of models without such a covariate

NO_CURVES: dict[str, Any] = {"sources": 0, "sizes": 0, "repeated": False, "epochs": False}  # `Staleness` of other kinds

type Covariates = dict[str, Any]  # by name, as a model takes them
type Dims = dict[str, list[str]]  # dims by name of the variable


class Shape(Protocol):
    """Sizes of the arrays for which a program is compiled."""

    def rounded(self) -> Self:
        """Round up, so that tables of similar size have the same shape."""

    def join(self, other: Self, /) -> Self:
        """Return the smallest shape that contains both."""


class Observations(Protocol):
    """A table in the form to which a model is fitted."""

    @property
    def covariates(self) -> Covariates:
        """Arrays and layouts by name, in the form that the model takes."""

    @property
    def coords(self) -> dict[str, list[str]]:
        """Labels of each dim."""

    @property
    def references(self) -> dict[str, dict[str, float]]:
        """Language -> units of its parameters."""

    @property
    def sources(self) -> Mapping[str, Sequence[str]]:
        """Language -> its named sources, by rank."""

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> number of rows that are not fitted."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest fitted value of each size variable."""

    @property
    def ranges_by_language(self) -> dict[str, dict[str, tuple[float, float]]]:
        """The same ranges of each language; empty for tables other than run tables."""

    @property
    def languages(self) -> list[str]:
        """Names of the languages."""

    @property
    def rows(self) -> int:
        """Number of observations."""

    @property
    def units(self) -> int:
        """Number of independent units: curves, dyads, crossovers."""

    @property
    def shape(self) -> Shape | None:
        """Sizes of the arrays; None if tables of this kind are not padded to share a program."""

    def padded(self, shape: Any) -> tuple[Covariates, np.ndarray]:
        """Return covariates and observed values, padded up to `shape`; padding counts as unobserved."""

    def unlike(self, other: Self, /) -> str:
        """Return in words why one program cannot serve both tables; empty if it can."""

    def own(self, values: np.ndarray, dims: Sequence[str]) -> np.ndarray:
        """Return a site's `values` without padding, given the names of its last dims."""

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Return the groups of a stored posterior that describe single observations, and their variables' dims."""

    def probe(self) -> dict[str, Any]:
        """Return the fields of `Staleness` from which `Kind.made_up` makes a table like this one."""


class Unpadded:
    """The part of `Observations` common to tables that are fitted one at a time, without padding."""

    @property
    def shape(self) -> None:
        """None, as there is no padding."""

    @property
    def ranges_by_language(self) -> dict[str, dict[str, tuple[float, float]]]:
        """No ranges by language."""
        return {}

    def unlike(self, other: object) -> str:
        """Return that no two tables of this kind share a program."""
        return "are not run tables, and only run tables are fitted together"

    def own(self, values: np.ndarray, dims: Sequence[str]) -> np.ndarray:
        """Return a site's values, which have no padding."""
        return values


class Kind(Protocol):
    """A kind of table."""

    name: str  # covariate of the models that take this kind
    variable: str  # variable that only a Dataset of this kind has
    reader: str  # public function that reads the table
    in_table_units: bool  # True if the models' priors are in units of the table

    def read(self, path: Path, traits: Path | None = None) -> xr.Dataset:
        """Read a table of this kind; `traits` is a table of traits of languages, if the kind has any."""

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> Observations:
        """Select the rows to fit and arrange them for a model with the covariates `wanted`."""

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, Floats]:
        """Return covariates and observed values of a stored posterior, without padding: the inverse of `stored`.

        Raises:
            MissingError: the groups lack a part that earlier versions did not store.
        """

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Make up a table, drawn at random from `seed`; return its covariates and observed values."""


class MissingError(InputError):
    """A stored posterior lacks a part that is needed to restore its table."""


def get_kind(name: str) -> Kind:
    """Return the kind called `name`, one of `KINDS`."""
    return cast(Kind, import_module(f"{__package__}.{name}").KIND)


def kind_of(model: ModelFile) -> Kind:
    """Return the kind of table that a model takes, according to its covariates."""
    return get_kind(kind_name(model.covariates))


def kind_name(covariates: Sequence[str] | Mapping[str, Any]) -> str:
    """Return the name of the kind among `covariates`; that of run tables if there is none."""
    return next((name for name in KINDS if name in covariates), RUNS)


def check_kind(table: xr.Dataset, kind: Kind, model: str) -> None:
    """Raise unless `table` is of the kind that `model` takes.

    Raises:
        InputError: the table is of another kind; the message names both readers.
    """
    if kind.variable not in table:
        given = next((other.reader for other in map(get_kind, KINDS) if other.variable in table), "another table")
        raise InputError(f"model {model} takes a table from {kind.reader}, this is from {given}; choose another model")


def no_selection(table: xr.Dataset, selection: Selection) -> None:
    """Raise InputError if `selection` chooses among runs, for a `table` that is not a run table."""
    if selection.languages or selection.by:
        raise InputError(
            f"languages and by choose among runs, and {table.attrs['name']} is not a run table; leave them out"
        )
