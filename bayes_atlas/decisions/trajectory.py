"""The compute-optimal size and data as functions of the budget: N*(C), D*(C) with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import BUDGETS, UNITS, Decision, dataset, in_range
from bayes_atlas.decisions.monte_carlo import Convergence, numerics, numerics_notes
from bayes_atlas.decisions.objective import LEARNED
from bayes_atlas.decisions.optimum import plan_notes, posterior_notes
from bayes_atlas.decisions.problem import Problem, Request, problem
from bayes_atlas.decisions.summary import summarise
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, repr=False)
class Trajectory(Decision):
    """Draws ``(draw, budget)`` of the compute-optimal plan at every budget."""

    problem: Problem
    compute: Floats  # (budget,) FLOPs
    params: Floats
    tokens: Floats
    loss: Floats
    epochs: Floats
    notes: list[str]
    if_law_holds: "Trajectory | None" = None  # the same without errors of the law; None if these are not included

    @property
    def language(self) -> str:
        """Names of the weighted languages, separated by commas."""
        return self.problem.language

    @property
    def question(self) -> str:
        """The training problem, and the range of budgets."""
        return f"{self.problem.objective.posterior.name}: {self.problem.title} {_between(self.compute)}"

    @property
    def quantities(self) -> dict[str, Floats]:
        """Draws by name."""
        return {"params": self.params, "tokens": self.tokens, "loss": self.loss, "epochs": self.epochs}

    @property
    def draws(self) -> "xr.Dataset":
        """Every quantity by ``draw`` and ``budget``."""
        return dataset(
            {name: (("draw", "budget"), values) for name, values in self.quantities.items()}, _budget(self.compute)
        )

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """Return by budget: `compute`, and median, mean and interval of every quantity."""
        chains = self.problem.objective.posterior.chains
        return [
            {"compute": float(compute)}
            | {name: summarise(draws[:, budget], probability, chains=chains) for name, draws in self.quantities.items()}
            for budget, compute in enumerate(self.compute)
        ]

    @property
    def numerics(self) -> list[dict[str, Convergence]]:
        """R-hat and ESS of every quantity, by budget."""
        chains = self.problem.objective.posterior.chains
        return [
            numerics({name: draws[:, budget] for name, draws in self.quantities.items()}, chains)
            for budget in range(len(self.compute))
        ]

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document: the question, the optimum at every budget, its numerics, and the notes."""
        return {
            "posterior": self.problem.objective.posterior.name,
            "language": self.language,
            "unique": self.problem.unique,
            **self.problem.to_dict(),
            "trajectory": self.summary(probability),
            "law_error": self.problem.objective.law_error,
            "if_law_holds": None if self.if_law_holds is None else self.if_law_holds.summary(probability),
            "numerics": self.numerics,
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return size and tokens, one row for each budget."""
        head = interval(probability)
        return [
            {"compute": f"{row['compute']:.3g}"}
            | _cells("params N", f"N, {head}", row["params"])
            | _cells("tokens D", f"D, {head}", row["tokens"])
            for row in self.summary(probability)
        ]


@dataclass(frozen=True, repr=False)
class Trajectories(Decision):
    """Trajectories of several languages or configurations over the same budgets."""

    paths: dict[str, Trajectory]  # by name of the language, or of several joined
    unique: float | None  # unique tokens of each source; None if unlimited
    notes: list[str]

    @property
    def compute(self) -> Floats:
        """Budgets in FLOPs ``(budget,)``."""
        return next(iter(self.paths.values())).compute

    @property
    def problem(self) -> Problem:
        """The problem of the first trajectory; budgets, unique tokens and tokens served are the same in all."""
        return next(iter(self.paths.values())).problem

    @property
    def question(self) -> str:
        """The languages, and the range of budgets."""
        return f"{self.problem.objective.posterior.name}: {', '.join(self.paths)} {_between(self.compute)}"

    @property
    def draws(self) -> "xr.Dataset":
        """Every quantity by ``draw``, ``budget`` and ``language``."""
        paths = [path.quantities for path in self.paths.values()]
        stacked = {name: np.stack([path[name] for path in paths], axis=-1) for name in paths[0]}
        return dataset(
            {name: (("draw", "budget", "language"), values) for name, values in stacked.items()},
            {**_budget(self.compute), "language": list(self.paths)},
        )

    def summary(self, probability: float = 0.9) -> dict[str, list[dict[str, Any]]]:
        """Return by name and budget: `compute`, and median, mean and interval of every quantity."""
        return {name: path.summary(probability) for name, path in self.paths.items()}

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document: the question, all trajectories, and the notes."""
        return {
            "posterior": self.problem.objective.posterior.name,
            "unique": self.unique,
            "served": self.problem.cost.served or None,
            "trajectories": self.summary(probability),
            "law_error": self.problem.objective.law_error,
            "numerics": {name: path.numerics for name, path in self.paths.items()},
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return size and tokens, one row for each name and budget."""
        return [{"language": name} | row for name, path in self.paths.items() for row in path.rows(probability)]


def trajectory(
    posterior: Posterior, *, compute: Sequence[float] | NDArray[np.float64], **request: Unpack[Request]
) -> Trajectory:
    """Find the compute-optimal size and data over a range of budgets.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budgets in FLOPs ``(budget,)``.
        request: the training problem; see `decisions.problem.Request`.

    Raises:
        InputError: as `optimum`, or no budget is given.
    """
    budgets = np.asarray(compute, dtype=float)
    if budgets.ndim != 1 or not budgets.size:
        raise InputError("compute must be a list of budgets in FLOPs; give at least one, such as [1e20, 1e21, 1e22]")
    for budget in budgets.tolist():
        in_range("compute", budget, BUDGETS)
    asked = problem(posterior, **request)
    found = _trajectory(asked, budgets)
    if asked.objective.error is None:
        return found
    return replace(found, if_law_holds=_trajectory(asked.if_law_holds, budgets))


def _trajectory(asked: Problem, budgets: Floats) -> Trajectory:
    tokens = asked.best_tokens(budgets)
    params = asked.size(tokens, budgets)
    loss = asked.loss(params.T, tokens.T).T
    last = np.argmax(budgets)
    notes = posterior_notes(asked.objective.posterior) + plan_notes(asked, params[:, last], tokens[:, last])
    largest = {"params": params, "tokens": tokens, "loss": loss}
    named = {f"{name} of {asked.language} at the largest budget": draws[:, last] for name, draws in largest.items()}
    notes += numerics_notes(named, asked.objective.posterior.chains)
    return Trajectory(asked, budgets, params, tokens, loss, asked.epochs(tokens), notes)


def trajectories(
    posterior: Posterior,
    *,
    compute: Sequence[float] | NDArray[np.float64],
    languages: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
    unique: float | None = None,
    served: float | None = None,
    law_error: str = LEARNED,
) -> Trajectories:
    """Find trajectories of several languages or configurations over the same budgets.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budgets in FLOPs ``(budget,)``.
        languages: one trajectory for each. If empty: all languages of the posterior, or none if `weights` is given.
        weights: one more trajectory, of these languages together, sampled equally: language -> weight of its loss.
        unique: unique tokens of each source; None if unlimited.
        served: tokens of inference to serve, paid from the same budget.
        law_error: ``learned`` or ``none``; see `decisions.objective.objective`.

    Raises:
        InputError: as `trajectory`.
    """
    alone = list(languages) or ([] if weights else posterior.info.languages)
    shared: Request = {"served": served, "law_error": law_error}
    requests: dict[str, Request] = {name: {**shared, "language": name, "unique": unique} for name in alone}
    if weights:
        limits = None if unique is None else dict.fromkeys(map(source_of, weights), unique)
        requests[" + ".join(weights)] = {**shared, "weights": weights, "unique": limits}
    paths = {name: trajectory(posterior, compute=compute, **request) for name, request in requests.items()}
    return Trajectories(paths, unique, list(dict.fromkeys(note for path in paths.values() for note in path.notes)))


def budgets_between(least: float, most: float, count: int = 25) -> Floats:
    """Return `count` budgets, evenly spaced in logs.

    Raises:
        InputError: an end is not a positive number, or the ends are not in order.
    """
    if in_range("the least budget", least, BUDGETS) >= in_range("the largest budget", most, BUDGETS):
        raise InputError(f"budgets run from {least:.4g} to {most:.4g}; give the smaller end first")
    return np.geomspace(least, most, count)


def _between(budgets: Floats) -> str:
    return f"from {budgets.min():.3g} to {budgets.max():.3g} FLOPs"


def _budget(compute: Floats) -> dict[str, Any]:
    """Return the coordinate of budgets."""
    meaning, unit = UNITS["compute"]
    return {"budget": ("budget", compute, {"long_name": meaning, "units": unit})}


def _cells(median: str, ends: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {median: number(values["median"]), ends: f"{number(values['lower'])} to {number(values['upper'])}"}
