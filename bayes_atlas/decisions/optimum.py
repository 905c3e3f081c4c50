"""The compute-optimal size and data for a language and a budget, with their uncertainty.

For every posterior draw, the size N and tokens D of least expected loss under C = 6 N D, trained in that language
alone. Where no token repeats, that is the law's closed form. Where it would take more tokens than there are unique
ones, a law that knows what repeated tokens are worth is minimised numerically; with any other law data stop at one
epoch.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise

from bayes_atlas.decisions.summary import Summary, summarise_all
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

type Floats = NDArray[np.float64]

FLOPS_PER_PARAMETER_AND_TOKEN = 6
ROUNDING = 1e-9  # relative; a limit that is exceeded by less is not
FLAT = 1e-4  # relative difference between losses, far below what tells two runs apart


@dataclass(frozen=True)
class Optimum:
    """Draws ``(draw,)`` of the compute-optimal plan. Each draw is the best plan *if* that draw were the truth."""

    language: str
    compute: float  # FLOPs
    unique: float | None  # unique tokens available; None where unlimited
    params: Floats
    tokens: Floats
    loss: Floats  # expected loss at the plan: the law's value, without a run's noise
    epochs: Floats  # passes over the unique tokens; 1 where they are unlimited
    notes: list[str]  # what a reader should know before trusting it

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

    def summary(self, probability: float = 0.9) -> dict[str, Summary]:
        """Median, mean and interval of every quantity (see `decisions.summary`)."""
        return summarise_all(self.quantities, probability)


def optimum(
    posterior: Posterior, *, compute: float, language: str | None = None, unique: float | None = None
) -> Optimum:
    """Compute-optimal size and data.

    Args:
        posterior: a posterior whose law has a compute-optimal point.
        compute: budget in FLOPs, counted as 6 per parameter and token.
        language: one of the posterior's; may be left out where there is only one.
        unique: unique tokens available of that language; unlimited where None.

    Raises:
        InputError: no such language, a budget or a limit that is not a positive number, or a law without an optimum.
    """
    _positive("compute", compute)
    if unique is not None:
        _positive("unique", unique)
    law = posterior.law
    if not hasattr(law, "optimum"):
        raise InputError(f"{posterior.name} fits the law {posterior.info.law!r}, which has no compute-optimal point")
    language = posterior.language(language)
    arguments = inspect.signature(law.loss).parameters
    knows_repetition = "unique" in arguments
    drawn = {name: draws for name, draws in posterior.parameters(language).items() if draws.ndim == 1}
    reference = posterior.info.references[language]
    budget = compute / (FLOPS_PER_PARAMETER_AND_TOKEN * reference["params"] * reference["tokens"])
    limit = np.inf if unique is None else unique / reference["tokens"]

    def expected_loss(log_tokens: Floats, *values: Floats) -> Floats:
        tokens = np.exp(log_tokens)
        covariates = {"params": budget / tokens, "tokens": tokens}
        if knows_repetition:
            covariates["unique"] = np.full_like(tokens, limit)
        return law.loss(**covariates, **dict(zip(drawn, values, strict=True)))

    _, tokens = law.optimum(FLOPS_PER_PARAMETER_AND_TOKEN * budget, **drawn)
    exhausted = tokens > limit * (1 + ROUNDING)
    if exhausted.any():
        if knows_repetition:
            repeating = [draws[exhausted] for draws in drawn.values()]
            tokens[exhausted] = np.exp(_minimise(expected_loss, np.log(tokens[exhausted]), np.log(limit), repeating))
        else:
            tokens[exhausted] = limit
    loss, halved, doubled = (expected_loss(np.log(tokens * factor), *drawn.values()) for factor in (1, 0.5, 2))
    flat = np.maximum(np.abs(halved - loss), np.abs(doubled - loss)) < FLAT * loss
    return Optimum(
        language=language,
        compute=compute,
        unique=unique,
        params=budget / tokens * reference["params"],
        tokens=tokens * reference["tokens"],
        loss=loss,
        epochs=np.maximum(tokens / limit, 1.0),
        notes=_notes(posterior, compute, unique, exhausted.mean(), flat.mean(), knows_repetition),
    )


def _minimise(function: Callable[..., Floats], start: Floats, least: float, values: list[Floats]) -> Floats:
    """Where `function` is least beyond `least`, by element; `start` lies beyond `least`."""
    bracket = elementwise.bracket_minimum(
        function, (start + least) / 2, xl0=least + (start - least) / 4, xr0=start, xmin=least, args=tuple(values)
    )
    found = elementwise.find_minimum(function, bracket.bracket, args=tuple(values))
    if not np.all(found.success):
        raise RuntimeError(f"{int((~found.success).sum())} of {found.x.size} draws have no optimum in reach")
    return np.asarray(found.x)


def _positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}; it must be a positive number, such as 1e21")


def _notes(
    posterior: Posterior, compute: float, unique: float | None, exhausted: float, flat: float, knows_repetition: bool
) -> list[str]:
    notes = [
        f"the sampling of {posterior.name} failed the check {check.name} ({check.value:.4g}, limit {check.limit:.4g}): "
        f"{check.advice}"
        for check in posterior.failed_checks
    ]
    largest = posterior.info.runs.ranges["compute"][1]
    if compute > largest:
        notes.append(
            f"the budget is {compute / largest:.3g} times the largest run that was fitted: the intervals hold if the "
            f"law does out there, and do not include that it might not"
        )
    if unique is not None and exhausted and not knows_repetition:
        notes.append(
            f"the law {posterior.info.law} does not know repetition: data stop at {unique:.3g} tokens, one epoch, in "
            f"{exhausted:.0%} of the draws; a posterior of data_constrained or atlas can say what more epochs are worth"
        )
    if flat:
        notes.append(
            f"in {flat:.0%} of the draws the budget is more than there is use for: half or twice the tokens at the same"
            f" budget changes the loss by less than {FLAT:.2%}, so that size and tokens mean little there"
        )
    if exhausted and knows_repetition and posterior.info.runs.ranges["epochs"][1] <= 1:
        notes.append("no run that was fitted repeats data: what repetition is worth comes from the prior alone")
    return notes
