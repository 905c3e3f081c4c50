"""Preparation of a fit: load the model file and its law, check the options, and arrange the table for the model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import xarray as xr

from bayes_atlas.catalogue import ModelError, ModelFile, NameOrPath, read_model
from bayes_atlas.errors import InputError
from bayes_atlas.inference.options import Options
from bayes_atlas.inference.tau_prior import tau_prior
from bayes_atlas.laws import get_law
from bayes_atlas.observations.curves import CurveData
from bayes_atlas.observations.kind import Observations, check_kind, kind_of
from bayes_atlas.posterior import Posterior


class UnlikeError(InputError):
    """Tables differ in structure, so one compiled program cannot serve all."""


@dataclass(frozen=True)
class Task:
    """The model and the options that apply to each table."""

    model: ModelFile
    options: Options
    began: float

    @classmethod
    def of(cls, model: NameOrPath, options: Options) -> "Task":
        """Return the task of fitting `model`; executes the model file.

        Raises:
            InputError: the file names no law or an unknown law, or its ``model`` is not a plain function.
        """
        began = time.monotonic()
        file = read_model(model)
        _ = file.module  # executes the file; an error names the faulty line
        if not file.observed:
            raise ModelError(f"{file.path} does not define `model` by def; write def model(covariates, .., loss=None)")
        if not file.law:
            raise InputError(f"{file.path} does not name its law; add a line such as LAW = 'chinchilla'")
        get_law(file.law)
        return cls(file, options, began)

    @property
    def kept(self) -> int:
        """Draws per chain to keep."""
        draws, keep = self.options.settings.round, self.options.keep
        return draws if keep is None else keep


@dataclass(frozen=True)
class Prepared:
    """A table arranged for a fit."""

    name: str
    sha256: str
    data: Observations
    tau_from: str = ""

    @classmethod
    def of(cls, table: xr.Dataset, task: Task) -> "Prepared":
        """Select the rows of a table that `task` fits, and arrange them for its model.

        Raises:
            InputError: the table is of another kind, or has no rows that the model describes.
        """
        kind = kind_of(task.model)
        check_kind(table, kind, task.model.name)
        arranged = kind.arrange(table, task.model.covariates, task.options.selection)
        return cls(table.attrs["name"], table.attrs["sha256"], arranged)

    def with_tau(self, scores: Posterior, task: Task) -> "Prepared":
        """Return the table with the prior of tau from a posterior of transfer scores.

        Raises:
            InputError: the model has no tau, or as `tau_prior`.
        """
        if "tau_prior" not in task.model.covariates:
            raise InputError(
                f"model {task.model.name} has no tau to take from {scores.name}; leave tau_from out, or fit atlas"
            )
        prior = tau_prior(scores, self.data.sources)
        data = replace(self.curves, covariates=self.data.covariates | {"tau_prior": prior})
        return replace(self, data=data, tau_from=f"{scores.name} sha256:{scores.info.draws_sha256}")

    @property
    def curves(self) -> CurveData:
        """The observations of a run table.

        Raises:
            InputError: the table is not a run table.
        """
        if not isinstance(self.data, CurveData):
            raise InputError(f"{self.name} is not a run table, and only run tables are fitted together; fit it alone")
        return self.data


def check_alike(tables: Sequence[Prepared]) -> None:
    """Raise unless one compiled program can serve all run tables.

    Raises:
        InputError: there is no table, or one is not a run table.
        UnlikeError: the tables differ in structure or in their number of languages.
    """
    if not tables:
        raise InputError("there are no tables to fit; give at least one")
    first = tables[0].curves
    for number, table in enumerate(tables):
        if len(table.data.languages) != len(first.languages):
            raise UnlikeError(
                f"table {number} ({table.name}) has {len(table.data.languages)} languages, the first has "
                f"{len(first.languages)}; fit tables of equally many languages together"
            )
        if reason := table.curves.unlike(first):
            raise UnlikeError(f"table {number} ({table.name}) and the first {reason}; fit them separately")
