"""The compute-optimal size and data for a budget, with their uncertainty.

For every posterior draw, the size N and tokens D of least expected loss that the budget buys: for one language or a
weighted set of them, with a fixed mixture, what transfer and repetition are worth, and limits on size, data and
serving. Where the law has a closed form for it, that is it; elsewhere the slope of the loss along the budget line is
brought to zero. Where the law does not know repetition, data stop at one epoch.
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

FLAT = 1e-4  # relative difference between losses, far below what tells two runs apart
BEYOND = 1.05  # times the largest run: from there on a budget extrapolates
SPENT = 0.999  # share of a budget from which on it counts as spent
LABELS = {
    "params": "params N",
    "tokens": "tokens D",
    "loss": "loss",
    "epochs": "epochs over U",
    "tokens_per_param": "tokens per param",
}


@dataclass(frozen=True, repr=False)
class Optimum(Decision):
    """Draws ``(draw,)`` of the compute-optimal plan. Each draw is the best plan *if* that draw were the truth."""

    problem: Problem
    compute: float  # FLOPs
    params: Floats
    tokens: Floats  # in all
    loss: Floats  # expected loss at the plan, weighted over languages: the law's value, without a run's noise
    epochs: Floats  # passes over the unique tokens of what repeats most; 1 where they are unlimited
    notes: list[str]  # what a reader should know before trusting it
    corrected: bool = False  # for an error of the law (`bayes_atlas.validation.law_error_within`)
    with_law_error: "Optimum | None" = None  # the corrected one, where the error of the law is known

    @property
    def language(self) -> str:
        """The language that counts; several are separated by commas."""
        return self.problem.language

    @property
    def unique(self) -> float | dict[str, float] | None:
        """Unique tokens available: of the single language, or by source; None where unlimited."""
        return self.problem.unique

    @property
    def question(self) -> str:
        """What is trained, with which budget and how many unique tokens."""
        limit = f" and {number(self.unique)} unique tokens" if isinstance(self.unique, int | float) else ""
        convention = "" if self.problem.cost.is_plain else f" ({self.problem.cost.convention})"
        posterior = self.problem.objective.posterior.name
        return f"{posterior}: training in {self.problem.title} with {self.compute:.3g} FLOPs{convention}{limit}"

    @cached_property
    def action(self) -> Action:
        """The plan of least expected loss; `bayes_action` says what it raises."""
        return bayes_action(self)

    @cached_property
    def cautious_action(self) -> Action:
        """The plan of least mean regret over the worst tenth of the draws; `cautious_action` says what it raises."""
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
        """Median, mean and interval of every quantity (see `decisions.summary`)."""
        return summarise_all(self.quantities, probability)

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """The question, the optimum, the plans to act on, the optimum with the error of the law, and the notes.

        An optimum that is corrected for an error of the law has no plans to act on.
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
        """A row for each quantity; epochs only where unique tokens are limited."""
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
    """Compute-optimal size and data.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budget in FLOPs.
        request: what is trained, and under which limits: `language`, `weights`, `unique`, `shares`, `max_params`,
            `max_tokens`, `served`, `flops`; see `decisions.problem.Request`.

    Raises:
        InputError: no such language, a budget or a limit that is not a positive number, or a law without an optimum.
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
    """What to know before trusting any decision at `compute` FLOPs of training: failed checks, extrapolation."""
    notes = [
        f"the sampling of {posterior.name} failed the check {check.name} ({check.value:.4g}, limit {check.limit:.4g}): "
        f"{check.advice}"
        for check in posterior.failed_checks
    ]
    largest = posterior.info.runs.ranges["compute"][1]
    if compute > BEYOND * largest:
        notes.append(
            f"the budget is {compute / largest:.3g} times the largest run that was fitted: the intervals hold if the "
            f"law does out there, and do not include that it might not"
        )
    return notes


def _notes_on_data(asked: Problem, free: Problem, compute: float, tokens: Floats) -> list[str]:
    posterior, repeated = asked.objective.posterior, asked.first_repeated
    notes = []
    if not asked.objective.knows_repetition and np.isfinite(repeated):
        stopped = (tokens >= repeated * (1 - ROUNDING)).mean()
        if stopped:
            notes.append(
                f"the law {posterior.info.law} does not know repetition: data stop at {repeated:.3g} tokens, one epoch,"
                f" in {stopped:.0%} of the draws; a posterior of data_constrained or atlas can say what more epochs are"
                f" worth"
            )
    loss, halved, doubled = (free.loss(free.size(tokens * f, compute), tokens * f) for f in (1.0, 0.5, 2.0))
    flat = (np.maximum(np.abs(halved - loss), np.abs(doubled - loss)) < FLAT * loss).mean()
    if flat:
        notes.append(
            f"in {flat:.0%} of the draws the budget is more than there is use for: half or twice the tokens at the same"
            f" budget changes the loss by less than {FLAT:.2%}, so that size and tokens mean little there"
        )
    repeats = asked.objective.knows_repetition and (tokens > repeated * (1 + ROUNDING)).any()
    if repeats and posterior.info.runs.ranges["epochs"][1] <= 1:
        notes.append("no run that was fitted repeats data: what repetition is worth comes from the prior alone")
    return notes


def _notes_on_limits(asked: Problem, compute: float, params: Floats, tokens: Floats) -> list[str]:
    notes = []
    unspent = (asked.cost.total(params, tokens) < SPENT * compute).mean()
    if unspent:
        notes.append(
            f"in {unspent:.0%} of the draws the limits on size and data leave a part of the budget unspent: a smaller "
            f"budget would do as well"
        )
    if unknown := asked.objective.unknown_sources(asked.shares):
        notes.append(
            f"the posterior says nothing of what tokens of {_listed(unknown)} are worth to the languages that count: "
            f"they are taken to be worth nothing"
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
