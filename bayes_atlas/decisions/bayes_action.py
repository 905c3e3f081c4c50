"""The one plan to act on: a run can be trained once, whatever the draws say.

The *Bayes action* is the single size and data with the least expected loss over the posterior. Its *regret* is what it
loses, draw by draw, against the plan that would have been best had that draw been known. The *cautious* plan instead
has the least mean regret over the worst draws, its conditional value at risk (CVaR; Rockafellar and Uryasev 2000).
Regret, not loss: how hard a language is affects every plan alike, and is no reason to choose one.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import number
from bayes_atlas.decisions.base import Decision, dataset
from bayes_atlas.decisions.problem import CLOSENESS, LOOK, Problem, least_between
from bayes_atlas.decisions.summary import summarise_all
from bayes_atlas.errors import InputError

NEAR = 1e-3  # relative: a loss this close to the best is as good
TAIL = 0.1  # share of the draws that the cautious plan cares about


class Plans(Protocol):
    """The best plan of every draw; an `Optimum` is one."""

    @property
    def problem(self) -> Problem:
        """What is trained."""

    @property
    def compute(self) -> float:
        """FLOPs."""

    @property
    def params(self) -> Floats:
        """``(draw,)``."""

    @property
    def tokens(self) -> Floats:
        """``(draw,)`` in all."""

    @property
    def corrected(self) -> bool:
        """Whether they are corrected for an error of the law."""

    @property
    def notes(self) -> list[str]:
        """What a reader should know before trusting them."""


@dataclass(frozen=True, repr=False)
class Action(Decision):
    """A single plan, and what it may cost to have chosen it."""

    problem: Problem
    compute: float  # FLOPs
    tail: float  # the criterion: mean regret over this share of the draws, the worst; 1 for all
    params: float
    tokens: float  # in all
    loss: Floats  # (draw,) expected loss of the plan
    regret: Floats  # (draw,) loss above that draw's own best plan, at least 0
    near_params: tuple[float, float]  # sizes of equally expensive plans whose expected loss is within NEAR of this one
    near_tokens: tuple[float, float]  # their tokens, in the order of `near_params`
    notes: list[str] = field(default_factory=list)

    @property
    def criterion(self) -> str:
        """The criterion, for people."""
        return "least expected loss" if self.tail == 1 else "cautious"

    @property
    def question(self) -> str:
        """What is trained, with which budget, and by which criterion the plan is chosen."""
        posterior = self.problem.objective.posterior.name
        return f"{posterior}: one plan for {self.problem.title} with {self.compute:.3g} FLOPs ({self.criterion})"

    @property
    def draws(self) -> xr.Dataset:
        """Loss and regret of the plan by ``draw``, and its size and tokens, which no draw changes."""
        single = {"params": self.params, "tokens": self.tokens}
        return dataset(
            {"loss": (("draw",), self.loss), "regret": (("draw",), self.regret)}
            | {name: ((), np.asarray(value)) for name, value in single.items()}
        )

    @property
    def cvar(self) -> float:
        """Mean regret over the worst draws: `TAIL` of them for the Bayes action too."""
        return worst_mean(self.regret, min(self.tail, TAIL))

    def summary(self, probability: float = 0.9) -> dict[str, Any]:
        """The plan, median, mean and interval of its loss and regret, and the plans that are as good."""
        near = {"params": list(self.near_params), "tokens": list(self.near_tokens), "within": NEAR}
        plan = {"params": self.params, "tokens": self.tokens, "tokens_per_param": self.tokens / self.params}
        costs = summarise_all({"loss": self.loss, "regret": self.regret}, probability)
        return plan | {**costs, "cvar": self.cvar, "tail": min(self.tail, TAIL), "near": near}

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """The question, the plan, and the notes."""
        return {
            "posterior": self.problem.objective.posterior.name,
            "language": self.problem.language,
            "compute": self.compute,
            "unique": self.problem.unique,
            **self.problem.to_dict(),
            "criterion": self.criterion,
            **self.summary(probability),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """The plan in one row: its size and tokens, mean loss and regret, and mean regret over the worst draws."""
        plan = {"params N": self.params, "tokens D": self.tokens, "loss": float(self.loss.mean())}
        costs = {"mean regret": float(self.regret.mean()), "worst tenth": self.cvar}
        return [{"plan to act on": self.criterion} | {name: number(value) for name, value in (plan | costs).items()}]


def bayes_action(plans: Plans) -> Action:
    """The plan of least expected loss, with the budget and under the limits of `plans`.

    Raises:
        InputError: `plans` are corrected for an error of the law.
    """
    return _act(plans, 1.0)


def cautious_action(plans: Plans, tail: float = TAIL) -> Action:
    """The plan of least mean regret over the worst `tail` of the draws (CVaR).

    Raises:
        InputError: `tail` is not between 0 and 1; `plans` are corrected for an error of the law.
    """
    if not 0 < tail < 1:
        raise InputError(f"tail is {tail}; it must lie between 0 and 1, such as {TAIL}")
    return _act(plans, tail)


def worst_mean(regret: Floats, tail: float) -> float:
    """Mean of the largest `tail` of `regret` ``(draw,)``; the draw at the edge counts in part."""
    descending = np.sort(regret)[::-1]
    whole = tail * len(descending)
    weight = np.clip(whole - np.arange(len(descending)), 0.0, 1.0)
    return float(weight @ descending / whole)


def _act(plans: Plans, tail: float) -> Action:
    asked, compute = plans.problem, plans.compute
    if plans.corrected:
        raise InputError(
            "these optima are corrected for an error of the law, and what a plan loses is counted by the law alone; "
            "act on the optimum before it was corrected"
        )
    best = reducible(asked, plans.params, plans.tokens)

    def regret(log_tokens: float) -> Floats:
        tokens = np.exp(log_tokens)
        return reducible(asked, asked.size(tokens, compute), tokens) - best

    def criterion(log_tokens: float) -> float:
        return worst_mean(regret(log_tokens), tail) if tail < 1 else float(regret(log_tokens).mean())

    # Every draw's loss falls up to its own best plan and rises beyond, so no plan outside of theirs is better for any.
    chosen = least_between(criterion, *np.log([plans.tokens.min(), plans.tokens.max()]).tolist())
    tokens = float(np.exp(chosen))
    params = float(asked.size(tokens, compute))
    loss = asked.loss(params, tokens)
    near = np.exp([_edge(asked, compute, chosen, loss.mean(), way) for way in (1.0, -1.0)])
    sizes = asked.size(near, compute)
    return Action(
        problem=asked,
        compute=compute,
        tail=tail,
        params=params,
        tokens=tokens,
        loss=loss,
        regret=np.maximum(regret(chosen), 0.0),  # below zero by rounding alone
        near_params=(float(sizes[0]), float(sizes[1])),
        near_tokens=(float(near[0]), float(near[1])),
        notes=plans.notes,
    )


def reducible(asked: Problem, params: Any, tokens: Any) -> Floats:
    """Weighted loss less its irreducible part, which no plan changes: differences keep more digits."""
    objective = asked.objective
    irreducible = sum(weight * objective.parameters[name]["E"] for name, weight in objective.weights.items())
    return asked.loss(params, tokens) - irreducible


def _edge(asked: Problem, compute: float, chosen: float, loss: float, way: float) -> float:
    """Log tokens of the last plan on one side of `chosen` whose expected loss is within NEAR of its `loss`."""

    def excess(log_tokens: float) -> float:
        tokens = np.exp(log_tokens)
        return float(asked.loss(asked.size(tokens, compute), tokens).mean() - loss * (1 + NEAR))

    furthest = float(np.log(asked.within_limits(np.exp(chosen + way * LOOK), compute)))
    return furthest if excess(furthest) <= 0 else float(brentq(excess, chosen, furthest, xtol=CLOSENESS))
