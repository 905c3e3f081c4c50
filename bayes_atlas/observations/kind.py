"""Kinds of tables: how one is read, arranged for a model, padded, stored, restored and made up.

A model is fitted to the kind whose name is one of its covariates: ``curves``, ``pairs`` or ``crossings``. To add a
kind, write its reader in `bayes_atlas.data` and a module of its name here with an object ``KIND``, and enter it in
`KINDS`. Nothing else in the engine asks which kind a table is.
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
from bayes_atlas.posterior import Staleness

KINDS = {  # covariate -> name
    "curves": "run table",
    "pairs": "score table",
    "crossings": "table of crossovers",
    "evidence": "evidence table",
}
RUNS = "curves"  # that of models which ask for none

NO_CURVES: dict[str, Any] = {"sources": 0, "sizes": 0, "repeated": False, "epochs": False}  # `Staleness` of other kinds

type Covariates = dict[str, Any]  # by name, as a model takes them
type Dims = dict[str, list[str]]  # of variables by name


class Shape(Protocol):
    """The sizes of arrays that a program is compiled for."""

    def rounded(self) -> Self:
        """Rounded up, so that tables of similar size have the same shape."""

    def join(self, other: Self, /) -> Self:
        """The least shape that holds both."""


class Observations(Protocol):
    """A table as a model is fitted to it."""

    @property
    def covariates(self) -> Covariates:
        """Arrays and layouts by name, as the model takes them."""

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
        """Reason -> rows of the table that are not fitted."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Least and largest value of each size that was fitted."""

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
        """Sizes of its arrays; None where tables of this kind are not padded to share a program."""

    def padded(self, shape: Any) -> tuple[Covariates, np.ndarray]:
        """Covariates and observed values, with padding that is not observed up to `shape`."""

    def unlike(self, other: Self, /) -> str:
        """How its structure differs from `other`'s so that one program cannot serve both; empty where it does not."""

    def own(self, values: np.ndarray, dims: Sequence[str]) -> np.ndarray:
        """A site's `values` without padding, given the names of its last dims."""

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Groups of a stored posterior that describe single observations, and the dims of their variables."""

    def probe(self) -> dict[str, Any]:
        """Fields of `Staleness` from which `Kind.made_up` makes a table like this one."""


class Unpadded:
    """The part of `Observations` that tables have in common which are fitted one at a time, as they are."""

    @property
    def shape(self) -> None:
        """Not padded."""

    @property
    def ranges_by_language(self) -> dict[str, dict[str, tuple[float, float]]]:
        """No ranges by language."""
        return {}

    def unlike(self, other: object) -> str:
        """No two tables of this kind share a program."""
        return "are no run tables, and only run tables are fitted together"

    def own(self, values: np.ndarray, dims: Sequence[str]) -> np.ndarray:
        """A site's values: none of them is padding."""
        return values


class Kind(Protocol):
    """A kind of table."""

    name: str  # the covariate by which a model asks for it
    variable: str  # the variable of its Dataset by which it is known
    reader: str  # the public function that reads it
    in_table_units: bool  # whether the models' priors are in units of the table

    def read(self, path: Path, traits: Path | None = None) -> xr.Dataset:
        """Read a table of this kind; `traits` are those of languages, where the kind has any."""

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> Observations:
        """Choose the rows to fit and arrange them for a model that asks for the covariates `wanted`."""

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, Floats]:
        """Covariates and observed values of a stored posterior, without padding: the inverse of `stored`.

        Raises:
            MissingError: the groups lack something, as earlier versions did not store it.
        """

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Covariates and observed values of a table that is drawn at random but always the same for a `seed`."""


class MissingError(InputError):
    """A stored posterior lacks what is needed to restore its table."""


def get_kind(name: str) -> Kind:
    """The kind called `name`, one of `KINDS`."""
    return cast(Kind, import_module(f"{__package__}.{name}").KIND)


def kind_of(model: ModelFile) -> Kind:
    """The kind of table that a model is fitted to, by the covariates that it asks for."""
    return get_kind(kind_name(model.covariates))


def kind_name(covariates: Sequence[str] | Mapping[str, Any]) -> str:
    """The name of the kind that is among `covariates`; run tables where none is."""
    return next((name for name in KINDS if name in covariates), RUNS)


def check_kind(table: xr.Dataset, kind: Kind, model: str) -> None:
    """Refuse a table that is of another kind than `model` takes.

    Raises:
        InputError: it is; the message names both readers.
    """
    if kind.variable not in table:
        given = next((other.reader for other in map(get_kind, KINDS) if other.variable in table), "another table")
        raise InputError(f"model {model} takes a table from {kind.reader}, this is from {given}; choose another model")


def no_selection(table: xr.Dataset, selection: Selection) -> None:
    """Refuse a selection among runs where the table is no run table."""
    if selection.languages or selection.by:
        raise InputError(
            f"languages and by choose among runs, and {table.attrs['name']} is no run table; leave them out"
        )
