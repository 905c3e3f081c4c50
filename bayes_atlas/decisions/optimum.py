"""The compute-optimal size and data for a budget, with their uncertainty.

For every posterior draw, this is the plan of size N and tokens D with the least expected loss within the budget. The
loss is that of one language or a weighted mean over several, with a fixed mixture. It includes transfer, repetition,
and limits on size, data and serving. If the law has a closed form for such a plan, it is used. Otherwise the plan is
the zero of the loss's slope along the budget line. If the law does not include repetition, data stop at one epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Unpack

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import cells, number
from bayes_atlas.decisions.base import Decision, dataset, positive
from bayes_atlas.decisions.bayes_action import Action, bayes_action, cautious_action
from bayes_atlas.decisions.problem import ROUNDING, Problem, Request, problem, training_flops
from bayes_atlas.decisions.summary import Summary, summarise_all
from bayes_atlas.posterior import Posterior

FLAT = 1e-4  # relative difference between losses, far below the noise between two runs
BEYOND = 1.05  # factor on the largest fitted run; a budget beyond it extrapolates
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
    corrected: bool = False  # True if corrected for model error (`bayes_atlas.validation.law_error_within`)
    with_law_error: "Optimum | None" = None  # the corrected optimum, if model error was estimated

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
    def draws(self) -> xr.Dataset:
        """Every quantity by ``draw``."""
        return dataset({name: (("draw",), values) for name, values in self.quantities.items()})

    def summary(self, probability: float = 0.9) -> dict[str, Summary]:
        """Return median, mean and interval of every quantity (see `decisions.summary`)."""
        return summarise_all(self.quantities, probability)

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document: question, optimum, plans to act on, corrected optimum, and notes.

        An optimum that is corrected for model error has no plans to act on.
        """
        wider = self.with_law_error
        return {
            "posterior": self.problem.objective.posterior.name,
            "language": self.language,
            "compute": self.compute,
            "unique": self.unique,
            **self.problem.to_dict(),
            **self.summary(probability),
            "action": None if self.corrected else self.action.summary(probability),
            "cautious_action": None if self.corrected else self.cautious_action.summary(probability),
            "notes": self.notes,
            "with_law_error": None if wider is None else wider.summary(probability),
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for each quantity; epochs only if unique tokens are limited."""
        summary = self.summary(probability)
        shown = [name for name in LABELS if name != "epochs" or self.unique is not None]
        rows = [{"compute-optimal": LABELS[name]} | cells(summary[name], probability) for name in shown]
        if self.with_law_error is None:
            return rows
        wider = self.with_law_error.summary(probability)
        heads = "with the law's error", "its interval"
        added = [cells(wider[name], probability).values() for name in shown]
        return [row | dict(zip(heads, more, strict=True)) for row, more in zip(rows, added, strict=True)]


def optimum(posterior: Posterior, *, compute: float, **request: Unpack[Request]) -> Optimum:
    """Find the compute-optimal size and data.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budget in FLOPs.
        request: the training problem and its limits: `language`, `weights`, `unique`, `shares`, `max_params`,
            `max_tokens`, `served`, `flops`; see `decisions.problem.Request`.

    Raises:
        InputError: an unknown language, a budget or a limit that is not a positive number, or a law without an optimum.
    """
    positive("compute", compute)
    asked = problem(posterior, **request)
    tokens = asked.best_tokens(compute)
    params = asked.size(tokens, compute)
    loss = asked.loss(params, tokens)
    return Optimum(asked, compute, params, tokens, loss, asked.epochs(tokens), _notes(asked, compute, params, tokens))


def _notes(asked: Problem, compute: float, params: Floats, tokens: Floats) -> list[str]:
    free = Problem(asked.objective, asked.shares, asked.cost)
    return [
        *posterior_notes(asked.objective.posterior, float(np.median(training_flops(params, tokens)))),
        *_notes_on_data(asked, free, compute, tokens),
        *_notes_on_limits(asked, compute, params, tokens),
    ]


def posterior_notes(posterior: Posterior, compute: float) -> list[str]:
    """Return notes on any decision with `compute` FLOPs of training: failed checks and extrapolation."""
    notes = [
        f"the sampling of {posterior.name} failed the check {check.name} ({check.value:.4g}, limit {check.limit:.4g}): "
        f"{check.advice}"
        for check in posterior.failed_checks
    ]
    largest = posterior.info.runs.ranges["compute"][1]
    if compute > BEYOND * largest:
        notes.append(
            f"the budget is {compute / largest:.3g} times the largest fitted run: the intervals assume that the law "
            f"holds there, and do not include model error"
        )
    return notes


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
    if flat:
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
