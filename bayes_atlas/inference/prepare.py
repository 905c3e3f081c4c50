"""A fit made ready: the model file and its law, the options checked, and the table arranged for the model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import xarray as xr

from bayes_atlas.catalogue import ModelError, ModelFile, NameOrPath, read_model
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError
from bayes_atlas.inference.options import Options
from bayes_atlas.inference.tau_prior import tau_prior
from bayes_atlas.laws import get_law
from bayes_atlas.observations.curves import CurveData
from bayes_atlas.observations.kind import Observations, check_kind, kind_of
from bayes_atlas.posterior import Posterior


class UnlikeError(InputError):
    """Tables that one program cannot serve."""


@dataclass(frozen=True)
class Task:
    """What to do with each table."""

    model: ModelFile
    options: Options
    began: float

    @classmethod
    def of(cls, model: NameOrPath, options: Options) -> "Task":
        """The task of fitting `model`, which is executed.

        Raises:
            InputError: it names no law, or none that there is; its ``model`` is no plain function.
        """
        began = time.monotonic()
        file = read_model(model)
        _ = file.module  # which fails with the line at fault, where the file cannot be run
        if not file.observed:
            raise ModelError(f"{file.path} does not define `model` by def; write def model(covariates, .., loss=None)")
        if not file.law:
            raise InputError(f"{file.path} does not name its law; add a line such as LAW = 'chinchilla'")
        get_law(file.law)
        return cls(file, options, began)

    @property
    def kept(self) -> int:
        """Draws per chain to keep."""
        draws, keep = self.options.settings.draws, self.options.keep
        return draws if keep is None else min(keep, draws)


@dataclass(frozen=True)
class Prepared:
    """A table as it is fitted."""

    name: str
    sha256: str
    data: Observations
    tau_from: str = ""

    @classmethod
    def of(cls, table: xr.Dataset, task: Task) -> "Prepared":
        """The rows of a table that `task` fits, arranged for its model.

        Raises:
            InputError: the table is of another kind, or has nothing that the model describes.
        """
        kind = kind_of(task.model)
        check_kind(table, kind, task.model.name)
        arranged = kind.arrange(table, task.model.covariates, task.options.selection)
        return cls(table.attrs["name"], table.attrs["sha256"], arranged)

    def with_tau(self, scores: Posterior, task: Task) -> "Prepared":
        """The same table with the prior of tau that a posterior of transfer scores gives."""
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
            InputError: it is no run table.
        """
        if not isinstance(self.data, CurveData):
            raise InputError(f"{self.name} is no run table, and only run tables are fitted together; fit it alone")
        return self.data


def check_alike(tables: Sequence[Prepared]) -> None:
    """Refuse run tables that one program cannot serve.

    Raises:
        InputError: there is none, or one is no run table.
        UnlikeError: they differ in their number of languages or in structure.
    """
    if not tables:
        raise InputError("there are no tables to fit; give at least one")
    first = tables[0].curves
    for number, table in enumerate(tables):
        if len(table.data.languages) != len(first.languages):
            raise UnlikeError(
                f"table {number} ({table.name}) has {plural(len(table.data.languages), 'language')}, the first has "
                f"{len(first.languages)}; fit tables of as many languages together"
            )
        if reason := table.curves.unlike(first):
            raise UnlikeError(f"table {number} ({table.name}) and the first {reason}; fit them apart")
