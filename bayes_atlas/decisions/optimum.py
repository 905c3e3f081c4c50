"""The compute-optimal size and data for a budget, with their uncertainty.

For every posterior draw, this is the plan of size N and tokens D with the least expected loss within the budget. The
loss is that of one language or a weighted mean over several, with a fixed mixture. It includes transfer, repetition,
and limits on size, data and serving. If the law has a closed form for such a plan, it is used. Otherwise the plan is
the zero of the loss's slope along the budget line. If the law does not include repetition, data stop at one epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.data.text import cells, number
from bayes_atlas.decisions.base import BUDGETS, Decision, dataset, in_range
from bayes_atlas.decisions.bayes_action import Action, bayes_action, cautious_action
from bayes_atlas.decisions.hull import outside_of_any, repeated_only
from bayes_atlas.decisions.monte_carlo import numerics, numerics_notes
from bayes_atlas.decisions.objective import Objective
from bayes_atlas.decisions.problem import ROUNDING, Problem, Request, problem, training_flops
from bayes_atlas.decisions.summary import Summary, summarise_all
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

SEEN = 0.005  # smallest share of draws that is worth a note
FLAT = 1e-4  # relative difference between losses, far below the noise between two runs
SPENT = 0.999  # share of a budget; from here on the budget counts as spent
LABELS = {
    "params": "params N",
    "tokens": "tokens D",
    "loss": "loss",
    "epochs": "epochs over U",
    "tokens_per_param": "tokens per param",
}


@dataclass(frozen=True, repr=False)
class Optimum(Decision):
    """Draws ``(draw,)`` of the compute-optimal plan. A draw is the best plan *if* its parameters are true."""

    problem: Problem
    compute: float  # FLOPs
    params: Floats
    tokens: Floats  # of all sources
    loss: Floats  # weighted expected loss at the plan: the law's value, without noise of a run
    epochs: Floats  # passes over the unique tokens of the source that repeats most; 1 if unlimited
    notes: list[str]  # caveats for the reader
    if_law_holds: "Optimum | None" = None  # the same without errors of the law; None if these are not included

    @property
    def language(self) -> str:
        """Names of the weighted languages, separated by commas."""
        return self.problem.language

    @property
    def unique(self) -> float | dict[str, float] | None:
        """Unique tokens, of the single language or by source; None if unlimited."""
        return self.problem.unique

    @property
    def question(self) -> str:
        """The training problem, the budget and the unique tokens."""
        limit = f" and {number(self.unique)} unique tokens" if isinstance(self.unique, int | float) else ""
        convention = "" if self.problem.cost.is_plain else f" ({self.problem.cost.convention})"
        posterior = self.problem.objective.posterior.name
        return f"{posterior}: training in {self.problem.title} with {self.compute:.3g} FLOPs{convention}{limit}"

    @cached_property
    def action(self) -> Action:
        """The plan with the least expected loss; errors as `bayes_action`."""
        return bayes_action(self)

    @cached_property
    def cautious_action(self) -> Action:
        """The plan with the least mean regret over the worst tenth of the draws; errors as `cautious_action`."""
        return cautious_action(self)

    @property
    def quantities(self) -> dict[str, Floats]:
        """Draws by name, with tokens per parameter."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "loss": self.loss,
            "epochs": self.epochs,
            "tokens_per_param": self.tokens / self.params,
        }

    @property
    def draws(self) -> "xr.Dataset":
        """Every quantity by ``draw``."""
        return dataset({name: (("draw",), values) for name, values in self.quantities.items()})

    def summary(self, probability: float = 0.9) -> dict[str, Summary]:
        """Return median, mean and interval of every quantity (see `decisions.summary`)."""
        return summarise_all(self.quantities, probability, chains=self.problem.objective.posterior.chains)

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document: optimum, plans to act on, the optimum if the law holds, numerics and notes."""
        alone = self.if_law_holds
        return {
            "posterior": self.problem.objective.posterior.name,
            "language": self.language,
            "compute": self.compute,
            "unique": self.unique,
            **self.problem.to_dict(),
            **self.summary(probability),
            "action": self.action.summary(probability),
            "cautious_action": self.cautious_action.summary(probability),
            "law_error": self.problem.objective.law_error,
            "if_law_holds": None if alone is None else alone.summary(probability),
            "numerics": numerics(self.quantities, self.problem.objective.posterior.chains),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for each quantity; epochs only if unique tokens are limited."""
        summary = self.summary(probability)
        shown = [name for name in LABELS if name != "epochs" or self.unique is not None]
        rows = [{"compute-optimal": LABELS[name]} | cells(summary[name], probability) for name in shown]
        if self.if_law_holds is None:
            return rows
        alone = self.if_law_holds.summary(probability)
        return [row | if_law_holds(alone[name]) for name, row in zip(shown, rows, strict=True)]


def optimum(posterior: Posterior, *, compute: float, **request: Unpack[Request]) -> Optimum:
    """Find the compute-optimal size and data.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budget in FLOPs.
        request: the training problem and its limits: `language`, `weights`, `unique`, `shares`, `max_params`,
            `max_tokens`, `served`, `flops`, `law_error`; see `decisions.problem.Request`.

    Raises:
        InputError: an unknown language, a budget or a limit that is not a positive number, or a law without an optimum.
    """
    in_range("compute", compute, BUDGETS)
    asked = problem(posterior, **request)
    found = _optimum(asked, compute)
    if asked.objective.error is None:
        return found
    return replace(found, if_law_holds=_optimum(asked.if_law_holds, compute))


def _optimum(asked: Problem, compute: float) -> Optimum:
    tokens = asked.best_tokens(compute)
    params = asked.size(tokens, compute)
    loss = asked.loss(params, tokens)
    notes = _notes(asked, compute, params, tokens)
    notes += numerics_notes({"params": params, "tokens": tokens, "loss": loss}, asked.objective.posterior.chains)
    return Optimum(asked, compute, params, tokens, loss, asked.epochs(tokens), notes)


def _notes(asked: Problem, compute: float, params: Floats, tokens: Floats) -> list[str]:
    free = Problem(asked.objective, asked.shares, asked.cost)
    return [
        *posterior_notes(asked.objective.posterior),
        *plan_notes(asked, params, tokens),
        *_notes_on_data(asked, free, compute, tokens),
        *_notes_on_limits(asked, compute, params, tokens),
    ]


def posterior_notes(posterior: Posterior) -> list[str]:
    """Return notes on any decision: the checks that the sampling failed."""
    return [
        f"the sampling of {posterior.name} failed the check {check.name} ({check.value:.4g}, limit {check.limit:.4g}): "
        f"{check.advice}"
        for check in posterior.failed_checks
    ]


def plan_notes(asked: Problem, params: Any, tokens: Any) -> list[str]:
    """Return notes on a plan: where it extrapolates, and which parameters behind it are the prior's.

    Args:
        asked: the training problem.
        params: sizes; the median counts.
        tokens: tokens of all sources, of the same shape.
    """
    own = {name: asked.shares[source_of(name)] * tokens for name in asked.objective.weights}
    return objective_notes(asked.objective, params, own, tokens)


def objective_notes(objective: Objective, params: Any, own: Mapping[str, Any], tokens: Any) -> list[str]:
    """Return the notes of `plan_notes`, given each weighted language's own tokens and the tokens of all sources."""
    posterior, unique = objective.posterior, objective.unique
    plans = {
        name: {
            "params": params,
            "tokens": each,
            "compute": training_flops(params, tokens),
            "epochs": np.maximum(each / unique[source_of(name)], 1.0) if source_of(name) in unique else None,
            "tokens_per_param": np.asarray(each) / params,
        }
        for name, each in own.items()
    }
    notes = outside_of_any(posterior, plans)
    if notes and objective.error is None:
        notes = [*notes[:-1], f"{notes[-1]}; the intervals assume that the law holds there"]
    return [*notes, *repeated_only(posterior, objective.weights, unique), *prior_notes(objective)]


def prior_notes(objective: Objective) -> list[str]:
    """Return a note on parameters that the runs of a weighted language say little about."""
    if objective.error is None:
        return []
    found = {name: objective.error.of_prior(name) for name in objective.weights}
    return [
        f"the runs of {name} say little about {', '.join(which)}: this answer takes them from the prior"
        for name, which in found.items()
        if which
    ]


def if_law_holds(summary: Summary) -> dict[str, str]:
    """Return a cell with the interval that holds if the law does, beside one that includes its errors."""
    return {"if the law holds": f"{number(summary['lower'])} to {number(summary['upper'])}"}


def _notes_on_data(asked: Problem, free: Problem, compute: float, tokens: Floats) -> list[str]:
    posterior, repeated = asked.objective.posterior, asked.first_repeated
    notes = []
    if not asked.objective.knows_repetition and np.isfinite(repeated):
        stopped = (tokens >= repeated * (1 - ROUNDING)).mean()
        if stopped:
            notes.append(
                f"the law {posterior.info.law} does not include repetition: data stop at {repeated:.3g} tokens, one "
                f"epoch, in {stopped:.0%} of the draws; a posterior of data_constrained or atlas includes more epochs"
            )
    loss, halved, doubled = (free.loss(free.size(tokens * f, compute), tokens * f) for f in (1.0, 0.5, 2.0))
    flat = (np.maximum(np.abs(halved - loss), np.abs(doubled - loss)) < FLAT * loss).mean()
    if flat >= SEEN:
        notes.append(
            f"in {flat:.0%} of the draws the budget is larger than useful: half or twice the tokens at the same"
            f" budget changes the loss by less than {FLAT:.2%}, so size and tokens are not identified there"
        )
    repeats = asked.objective.knows_repetition and (tokens > repeated * (1 + ROUNDING)).any()
    if repeats and posterior.info.runs.ranges["epochs"][1] <= 1:
        notes.append("no fitted run repeats data: the value of repeated data comes from the prior alone")
    return notes


def _notes_on_limits(asked: Problem, compute: float, params: Floats, tokens: Floats) -> list[str]:
    notes = []
    unspent = (asked.cost.total(params, tokens) < SPENT * compute).mean()
    if unspent:
        notes.append(
            f"in {unspent:.0%} of the draws the limits on size and data leave part of the budget unspent: a smaller "
            f"budget gives the same plan"
        )
    if unknown := asked.objective.unknown_sources(asked.shares):
        notes.append(
            f"the posterior has no estimate of transfer from {_listed(unknown)} to the weighted languages: these "
            f"tokens count as worth nothing"
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
