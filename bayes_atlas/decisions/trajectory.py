"""How the compute-optimal size and data grow with the budget: N*(C), D*(C) with their bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.decisions.objective import positive
from bayes_atlas.decisions.optimum import posterior_notes
from bayes_atlas.decisions.problem import Problem, Request, problem, training_flops
from bayes_atlas.decisions.summary import summarise
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior


@dataclass(frozen=True)
class Trajectory:
    """Draws ``(draw, budget)`` of the compute-optimal plan at every budget."""

    problem: Problem
    compute: Floats  # (budget,) FLOPs
    params: Floats
    tokens: Floats
    loss: Floats
    epochs: Floats
    notes: list[str]

    @property
    def language(self) -> str:
        """The language that counts; several are separated by commas."""
        return ", ".join(self.problem.objective.weights)

    @property
    def quantities(self) -> dict[str, Floats]:
        """Draws by name."""
        return {"params": self.params, "tokens": self.tokens, "loss": self.loss, "epochs": self.epochs}

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """By budget: `compute`, and median, mean and interval of every quantity."""
        return [
            {"compute": float(compute)}
            | {name: summarise(draws[:, budget], probability) for name, draws in self.quantities.items()}
            for budget, compute in enumerate(self.compute)
        ]


def trajectory(
    posterior: Posterior, *, compute: Sequence[float] | NDArray[np.float64], **request: Unpack[Request]
) -> Trajectory:
    """Compute-optimal size and data over a range of budgets.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budgets in FLOPs ``(budget,)``.
        request: what is trained; see `decisions.problem.Request`.

    Raises:
        InputError: of `optimum`, or no budget was given.
    """
    budgets = np.asarray(compute, dtype=float)
    if budgets.ndim != 1 or not budgets.size:
        raise InputError("compute must be a list of budgets in FLOPs; give at least one, such as [1e20, 1e21, 1e22]")
    for budget in budgets.tolist():
        positive("compute", budget)
    asked = problem(posterior, **request)
    tokens = asked.best_tokens(budgets)
    params = asked.size(tokens, budgets)
    loss = asked.loss(params.T, tokens.T).T
    largest = np.median(training_flops(params, tokens), axis=0).max()
    return Trajectory(
        asked, budgets, params, tokens, loss, asked.epochs(tokens), posterior_notes(posterior, float(largest))
    )


def budgets_between(least: float, most: float, count: int = 25) -> Floats:
    """`count` budgets, evenly spaced in logs.

    Raises:
        InputError: the ends are not positive numbers in order.
    """
    if positive("the least budget", least) >= positive("the largest budget", most):
        raise InputError(f"budgets run from {least:.4g} to {most:.4g}; give the smaller end first")
    return np.geomspace(least, most, count)
