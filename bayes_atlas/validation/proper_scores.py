"""Scores of predictions of held-out losses: accuracy, proper scores and calibration, all on the scale of loss.

The point prediction is the predictive median. The predictive mean of loss is infinite, because log loss has Student-t
tails. For the same reason CRPS is the score of the draws at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, minimize

from bayes_atlas.arrays import Flags, Floats
from bayes_atlas.data.runs import last_rows
from bayes_atlas.errors import InputError

LEVELS = (0.5, 0.8, 0.9, 0.95)
PIT_BINS = 10
CLOSENESS: Any = {"ftol": 1e-10, "maxiter": 500}


class Predictive(Protocol):
    """A predictive distribution that can be scored: a `Prediction`, or a `Stack` of several."""

    def draw(self, rng: np.random.Generator, least: int = 2000) -> Floats:
        """Draw losses ``(row, draw)``."""
        ...

    def log_density(self, loss: Floats) -> Floats:
        """Return the log predictive density of `loss` ``(row,)``, per unit of loss; its sum over a run is the run's."""
        ...


@dataclass(frozen=True)
class RowScores:
    """Scores of each held-out row; arrays are ``(row,)`` or ``(row, level)``."""

    language: NDArray[np.str_]
    run: NDArray[np.str_]
    loss: Floats
    median: Floats
    crps: Floats
    log_density: Floats  # given the rows of the run before it; the sum over a run is that of its rows together
    pit: Floats  # predictive probability of a loss up to the observed one
    lower: Floats  # ends of the central intervals of probability `LEVELS`
    upper: Floats
    trained: Floats  # share of the run's tokens, 1 at the last checkpoint

    @classmethod
    def of(cls, prediction: Predictive, rows: xr.Dataset, seed: int = 0) -> "RowScores":
        """Score `prediction` on the losses of `rows`."""
        loss = rows["loss"].to_numpy()
        draws = np.sort(prediction.draw(np.random.default_rng(seed)), axis=1)
        tails = (1 - np.array(LEVELS)) / 2
        tokens = rows["tokens"].to_numpy()
        median, *ends = np.quantile(draws, [0.5, *tails, *(1 - tails)], axis=1)
        return cls(
            language=rows["language"].to_numpy().astype(str),
            run=rows["run"].to_numpy().astype(str),
            loss=loss,
            median=median,
            crps=crps(draws, loss),
            log_density=prediction.log_density(loss),
            pit=(draws <= loss[:, None]).mean(axis=1),
            lower=np.stack(ends[: len(LEVELS)], axis=1),
            upper=np.stack(ends[len(LEVELS) :], axis=1),
            trained=tokens / tokens[last_rows(rows)],
        )

    @classmethod
    def joined(cls, parts: Sequence["RowScores"]) -> "RowScores":
        """Concatenate the rows of `parts`, such as folds."""
        return cls(**{each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)})

    def summary(self) -> dict[str, Any]:
        """Summarise all rows, and each language alone under ``by_language``."""
        names = np.unique(self.language)
        return self._summary() | {
            "by_language": {str(name): self.where(self.language == name)._summary() for name in names}
        }

    def where(self, chosen: Flags) -> "RowScores":
        """Return the scores of the rows in the mask `chosen` ``(row,)``."""
        return RowScores(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})

    def _summary(self) -> dict[str, Any]:
        inside = (self.lower <= self.loss[:, None]) & (self.loss[:, None] <= self.upper)
        return {
            "rmse": float(np.sqrt(np.mean((self.loss - self.median) ** 2))),
            "r2": r_squared(self.loss, self.median),
            "crps": float(self.crps.mean()),
            "elpd": float(self.log_density.sum()),
            "coverage": _by_level(inside.mean(axis=0)),
            "width": _by_level((self.upper - self.lower).mean(axis=0)),
            "pit": (np.histogram(self.pit, PIT_BINS, (0, 1))[0] / len(self.pit)).tolist(),
            "n_test": len(self.loss),
        }


def _by_level(values: Floats) -> dict[str, float]:
    return {f"{level:g}": float(value) for level, value in zip(LEVELS, values, strict=True)}


def r_squared(loss: Floats, predicted: Floats) -> float | None:
    """Return 1 - SSE / SST over rows, or None if all losses are equal, such as the loss of a single row."""
    total = float(((loss - loss.mean()) ** 2).sum())
    return 1 - float(((loss - predicted) ** 2).sum()) / total if total > 0 else None


def crps(draws: Floats, loss: Floats) -> Floats:
    """Return the continuous ranked probability score of each row, E|X - y| - E|X - X'| / 2, in units of loss.

    Smaller is better.

    Args:
        draws: ``(row, draw)``, ascending within a row.
        loss: ``(row,)``.
    """
    count = draws.shape[1]
    rank = 2 * np.arange(count) + 1 - count  # number of pairs in which a draw is the larger, minus the smaller
    apart = (draws * rank).sum(axis=1) * 2 / count**2  # E|X - X'|
    return np.asarray(np.abs(draws - loss[:, None]).mean(axis=1) - apart / 2)


def of_runs(log_density: Floats, run: NDArray[np.str_]) -> Floats:
    """Return the log densities of runs, from those of their rows ``(row,)`` with the names `run` ``(row,)``."""
    return np.bincount(np.unique(run, return_inverse=True)[1], log_density)


def stacking_weights(log_density: Mapping[str, Floats]) -> dict[str, float]:
    """Return the model weights whose mixture gives held-out runs the highest log density (Yao et al. 2018).

    Weights are at least 0 and sum to 1; the objective is concave in them.

    Args:
        log_density: model -> log predictive density ``(run,)`` of the same runs.

    Raises:
        InputError: a density is NaN.
    """
    names = list(log_density)
    if len(names) == 1:
        return {names[0]: 1.0}
    logs = np.stack([log_density[name] for name in names], axis=1)
    for name, undefined in zip(names, np.isnan(logs).any(axis=0), strict=True):
        if undefined:
            raise InputError(f"the log density of {name} is nan in some rows, so it cannot be weighted; leave it out")
    density = np.exp(logs - np.maximum(logs.max(axis=1, keepdims=True), np.finfo(float).min))

    def objective(weights: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(density @ weights, np.finfo(float).tiny)
        return -float(np.log(mixed).mean()), -(density / mixed[:, None]).mean(axis=0)

    found = minimize(
        objective,
        np.full(len(names), 1 / len(names)),
        jac=True,
        method="SLSQP",
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(np.ones((1, len(names))), 1, 1),
        options=CLOSENESS,
    )
    weights = np.clip(found.x, 0, None)
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))
