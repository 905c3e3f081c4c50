"""The one plan to act on. A run is trained once, whatever the draws say.

The *Bayes action* is the single size and data with the least expected loss over the posterior. Its *regret* in a draw
is its loss above the best plan of that draw. The *cautious* plan has the least mean regret over the worst draws, its
conditional value at risk (CVaR; Rockafellar and Uryasev 2000). The criterion is regret instead of loss, because the
difficulty of a language raises the loss of every plan alike and is no reason to choose one.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import number
from bayes_atlas.decisions.base import Decision, dataset
from bayes_atlas.decisions.problem import CLOSENESS, LOOK, Problem, least_between
from bayes_atlas.decisions.summary import summarise_all
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

NEAR = 1e-3  # relative; losses this close to the best count as equally good
TAIL = 0.1  # share of the draws over which the cautious plan averages


class Plans(Protocol):
    """The best plan of every draw, such as an `Optimum`."""

    @property
    def problem(self) -> Problem:
        """The training problem."""

    @property
    def compute(self) -> float:
        """FLOPs."""

    @property
    def params(self) -> Floats:
        """``(draw,)``."""

    @property
    def tokens(self) -> Floats:
        """``(draw,)`` tokens of all sources."""

    @property
    def notes(self) -> list[str]:
        """Caveats for the reader."""


@dataclass(frozen=True, repr=False)
class Action(Decision):
    """A single plan, with its regret."""

    problem: Problem
    compute: float  # FLOPs
    tail: float  # the criterion: mean regret over this share of the draws, the worst ones; 1 for all draws
    params: float
    tokens: float  # of all sources
    loss: Floats  # (draw,) expected loss of the plan
    regret: Floats  # (draw,) loss above the best plan of the draw, at least 0
    near_params: tuple[float, float]  # range of sizes whose expected loss is within NEAR of this plan's, at equal cost
    near_tokens: tuple[float, float]  # their tokens, in the order of `near_params`
    notes: list[str] = field(default_factory=list)

    @property
    def criterion(self) -> str:
        """The criterion, in words."""
        return "least expected loss" if self.tail == 1 else "cautious"

    @property
    def question(self) -> str:
        """The training problem, the budget, and the criterion of the plan."""
        posterior = self.problem.objective.posterior.name
        return f"{posterior}: one plan for {self.problem.title} with {self.compute:.3g} FLOPs ({self.criterion})"

    @property
    def draws(self) -> "xr.Dataset":
        """Loss and regret of the plan by ``draw``, and its size and tokens, which are the same in all draws."""
        single = {"params": self.params, "tokens": self.tokens}
        return dataset(
            {"loss": (("draw",), self.loss), "regret": (("draw",), self.regret)}
            | {name: ((), np.asarray(value)) for name, value in single.items()}
        )

    @property
    def cvar(self) -> float:
        """Mean regret over the worst draws; for the Bayes action, over the worst `TAIL` of them."""
        return worst_mean(self.regret, min(self.tail, TAIL))

    def summary(self, probability: float = 0.9) -> dict[str, Any]:
        """The plan, its loss and regret (median, mean, interval), and the range of equally good plans."""
        near = {"params": list(self.near_params), "tokens": list(self.near_tokens), "within": NEAR}
        plan = {"params": self.params, "tokens": self.tokens, "tokens_per_param": self.tokens / self.params}
        chains = self.problem.objective.posterior.chains
        costs = summarise_all({"loss": self.loss, "regret": self.regret}, probability, chains=chains)
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
    """Return the plan with the least expected loss, with the budget and the limits of `plans`."""
    return _act(plans, 1.0)


def cautious_action(plans: Plans, tail: float = TAIL) -> Action:
    """Return the plan with the least mean regret over the worst `tail` of the draws (CVaR).

    Raises:
        InputError: `tail` is not between 0 and 1.
    """
    if not 0 < tail < 1:
        raise InputError(f"tail is {tail}; it must lie between 0 and 1, such as {TAIL}")
    return _act(plans, tail)


def worst_mean(regret: Floats, tail: float) -> float:
    """Return the mean of the largest `tail` of `regret` ``(draw,)``. The draw at the boundary counts in part."""
    descending = np.sort(regret)[::-1]
    whole = tail * len(descending)
    weight = np.clip(whole - np.arange(len(descending)), 0.0, 1.0)
    return float(weight @ descending / whole)


def _act(plans: Plans, tail: float) -> Action:
    asked, compute = plans.problem, plans.compute
    best = reducible(asked, plans.params, plans.tokens)

    def regret(log_tokens: float) -> Floats:
        tokens = np.exp(log_tokens)
        return reducible(asked, asked.size(tokens, compute), tokens) - best

    def criterion(log_tokens: float) -> float:
        return worst_mean(regret(log_tokens), tail) if tail < 1 else float(regret(log_tokens).mean())

    # A draw's loss falls up to its own best plan and then rises: no plan outside the range of best plans is better.
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
        regret=np.maximum(regret(chosen), 0.0),  # negative only by rounding
        near_params=(float(sizes[0]), float(sizes[1])),
        near_tokens=(float(near[0]), float(near[1])),
        notes=plans.notes,
    )


def reducible(asked: Problem, params: Any, tokens: Any) -> Floats:
    """Return the weighted loss without its irreducible part, which is the same for all plans, to keep more digits."""
    objective = asked.objective
    irreducible = sum(weight * objective.parameters[name]["E"] for name, weight in objective.weights.items())
    return asked.loss(params, tokens) - irreducible


def _edge(asked: Problem, compute: float, chosen: float, loss: float, way: float) -> float:
    """Return the log tokens at which expected loss leaves NEAR of `loss`, on the side `way` of `chosen`."""
    from scipy.optimize import brentq

    def excess(log_tokens: float) -> float:
        tokens = np.exp(log_tokens)
        return float(asked.loss(asked.size(tokens, compute), tokens).mean() - loss * (1 + NEAR))

    furthest = float(np.log(asked.within_limits(np.exp(chosen + way * LOOK), compute)))
    return furthest if excess(furthest) <= 0 else float(brentq(excess, chosen, furthest, xtol=CLOSENESS))
