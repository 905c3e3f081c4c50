"""The table of crossovers as a model sees it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Array
from bayes_atlas.data.crossings import TYPICAL


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
