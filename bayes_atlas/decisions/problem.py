"""A training problem: its mixture, its cost and its limits, with the size and the amount of data still open.

All plans on a *budget line* cost the same, and the tokens identify the plan. Along the line the loss first falls, then
rises. It is convex in log tokens, so the best plan is at slope zero or at a limit. The exception is a mixture with
repeated data and interference between languages. There the loss may have two minima, and the whole line is searched.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.decisions.base import LIMITS, in_range
from bayes_atlas.decisions.cost import Cost, Flops, cost
from bayes_atlas.decisions.objective import EVERY, LEARNED, Draws, Objective, listed, objective
from bayes_atlas.decisions.shares import mixed
from bayes_atlas.errors import InputError
from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.posterior import Posterior

ROUNDING = 1e-9  # relative; a limit may be exceeded by less
CLOSENESS = 1e-9  # in log tokens, of a numerical optimum
LOOSE = 1e-4  # the same if the law errs, where intervals are wide
LOOK = 12.0  # in log tokens, distance of the search from the optimum of a single language
LOOKED_AT = 25  # grid points between two ends
BLOCK = 65_536  # numerical optima per batch; the arrays of a larger one exceed the processor's cache


class Request(TypedDict, total=False):
    """Options of a training problem besides its budget; all optional.

    language: the only language whose loss counts; required if the posterior has several and `weights` is not given.
    weights: instead, language -> weight of its loss.
    unique: unique tokens by source, or one number for a single language; unlimited if absent.
    shares: share of the training tokens by source, summing to 1; by default the weighted languages, equally. Sources
        are those of the posterior, and ``other`` for any other data.
    max_params: largest model that can be served.
    max_tokens: largest number of tokens that the schedule allows.
    served: tokens of inference to serve, paid from the same budget at 2 N each.
    flops: training FLOPs as a function of arrays N and D, in place of 6 N D.
    law_error: ``learned`` (default) or ``none``; see `decisions.objective.objective`.
    """

    language: str | None
    weights: Mapping[str, float] | None
    unique: float | Mapping[str, float] | None
    shares: Mapping[str, float] | None
    max_params: float | None
    max_tokens: float | None
    served: float | None
    flops: Flops | None
    law_error: str


@dataclass(frozen=True)
class Problem:
    """A training problem with a fixed mixture; `params` and `tokens` make up its plan."""

    objective: Objective
    shares: dict[str, float]  # source -> share of the training tokens, summing to 1
    cost: Cost
    max_params: float = np.inf
    max_tokens: float = np.inf

    @property
    def language(self) -> str:
        """Names of the weighted languages, separated by commas."""
        return ", ".join(self.objective.weights)

    @property
    def unique(self) -> float | dict[str, float] | None:
        """Unique tokens, of the single language or by source; None if unlimited."""
        unique = self.objective.unique
        if len(self.shares) == 1:
            return next(iter(unique.values()), None)
        return unique or None

    @property
    def title(self) -> str:
        """Sources and weighted languages, in words."""
        return self.language if len(self.shares) == 1 else f"{listed(self.shares)} for {listed(self.objective.weights)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the question as in the JSON document."""
        return {
            "weights": self.objective.weights,
            "shares": self.shares,
            "flops": self.cost.convention,
            "max_params": self.max_params if np.isfinite(self.max_params) else None,
            "max_tokens": self.max_tokens if np.isfinite(self.max_tokens) else None,
            "served": self.cost.served or None,
        }

    @property
    def if_law_holds(self) -> "Problem":
        """The same problem, if the law holds."""
        return replace(self, objective=self.objective.if_law_holds)

    @cached_property
    def most_tokens(self) -> float:
        """The largest number of training tokens: `max_tokens`, and one epoch if the law does not include repetition."""
        one_epoch = np.inf if self.objective.knows_repetition else self.first_repeated
        return min(self.max_tokens, one_epoch)

    @cached_property
    def first_repeated(self) -> float:
        """Tokens at which the first source starts to repeat."""
        unique = self.objective.unique
        return min((unique[name] / share for name, share in self.shares.items() if name in unique), default=np.inf)

    def loss(self, params: Any, tokens: Any, draws: Draws = EVERY) -> Floats:
        """Return the weighted loss `(..., draw)`; `params` and `tokens` (of all sources) broadcast to it."""
        return self.objective.loss(params, self.divided(tokens), draws)

    def losses(self, params: Any, tokens: Any, draws: Draws = EVERY) -> dict[str, Floats]:
        """Return the loss of each weighted language."""
        return self.objective.losses(params, self.divided(tokens), draws)

    def divided(self, tokens: Any) -> dict[str, Any]:
        """Return the tokens of each source."""
        return {source: share * tokens for source, share in self.shares.items()}

    def epochs(self, tokens: Any) -> Floats:
        """Return the passes over the unique tokens of the source that repeats most, at least 1."""
        return np.maximum(tokens / self.first_repeated, 1.0)

    def size(self, tokens: Any, compute: Any) -> Floats:
        """Return the size that spends `compute` with `tokens`, at most `max_params`."""
        return np.minimum(self.cost.params(tokens, compute), self.max_params)

    def slope(self, tokens: Any, compute: Any, draws: Draws = EVERY) -> Floats:
        """Return the slope of the weighted loss in log tokens along the budget line of `compute`, without limits."""
        of_params, of_tokens = self.objective.slopes(self.cost.params(tokens, compute), self.divided(tokens), draws)
        return np.asarray(sum(of_tokens.values()) + of_params * self.cost.slope(tokens, compute))

    def within_limits(self, tokens: Any, compute: Any) -> Floats:
        """Return the tokens nearest to `tokens` that keep the limits along the budget line."""
        least: Any = 0.0
        if np.isfinite(self.max_params):
            least = self.cost.tokens(self.max_params, compute)
        return np.minimum(np.maximum(tokens, least), self.most_tokens)

    def best_tokens(self, compute: Any) -> Floats:
        """Return the tokens of least loss, for every draw and every budget.

        Args:
            compute: FLOPs, one number or `(budget,)`.

        Returns:
            `(draw,)`, or `(draw, budget)`.
        """
        compute = np.asarray(compute, dtype=float)
        shape = (self.objective.count, *compute.shape)
        draws = np.broadcast_to(np.arange(shape[0]).reshape(-1, *[1] * compute.ndim), shape).ravel()
        budgets = np.broadcast_to(compute, shape).ravel()
        return self.best_tokens_by_element(draws, budgets).reshape(shape)

    def best_tokens_by_element(self, draws: NDArray[np.int64], compute: Floats) -> Floats:
        """Return the tokens of least loss of draw ``draws[i]`` at the budget ``compute[i]``, all `(element,)`."""
        tokens = self._closed_form(draws, compute)
        if self._is_alone and self.cost.is_plain and self.objective.error is None:
            open_ = tokens > self.first_repeated * (1 + ROUNDING)
            open_ &= self.objective.knows_repetition
        else:
            open_ = np.full(tokens.shape, True)
        twice = open_ & self._may_fall_twice[draws]
        for chosen, seek in ((open_ & ~twice, self._stationary), (twice, self._least)):
            left = np.flatnonzero(chosen)
            if not len(left):
                continue
            blocks = np.array_split(left, 1 + len(left) // BLOCK)
            with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy releases Python's lock
                found = threads.map(seek, *([part[block] for block in blocks] for part in (tokens, draws, compute)))
                for block, best in zip(blocks, found, strict=True):
                    tokens[block] = best
        return self.within_limits(tokens, compute)

    @property
    def _is_alone(self) -> bool:
        """True if the only weighted language is also the only source."""
        return list(self.shares) == [source_of(name) for name in self.objective.weights] and len(self.shares) == 1

    def _closed_form(self, draws: NDArray[np.int64], compute: Floats) -> Floats:
        """Return the law's optimum without repetition and transfer; for several languages, the mean in log tokens."""
        log_tokens = np.zeros(draws.shape)
        for language, weight in self.objective.weights.items():
            share, reference = self.shares[source_of(language)], self.objective.posterior.info.references[language]
            parameters = self.objective.parameters[language]
            drawn = {name: values[draws] for name, values in parameters.items() if values.ndim == 1}
            budget = share * compute / (reference["params"] * reference["tokens"])
            _, own = self.objective.posterior.law.optimum(budget, **drawn)
            log_tokens += weight * np.log(own * reference["tokens"] / share)
        return np.exp(log_tokens)

    def _stationary(self, start: Floats, draws: NDArray[np.int64], compute: Floats) -> Floats:
        """Return the tokens at slope zero along the budget line."""
        from scipy.optimize import elementwise

        def slope(log_tokens: Floats, draws: Floats, compute: Floats) -> Floats:
            return self.slope(np.exp(log_tokens), compute, draws.astype(np.int64))

        def seek(left: Floats, right: Floats, sought: NDArray[Any]) -> Any:
            arguments = draws[sought], compute[sought]
            return elementwise.find_root(
                slope, (left, right), args=arguments, tolerances={"xatol": CLOSENESS, "xrtol": 0.0}
            )

        if self._is_alone and self.cost.is_plain:  # repetition alone: the optimum is below the start, or a bit above
            left, right = (np.log(start) + np.log(self.first_repeated)) / 2, np.log(start) + 0.3
        else:
            left, right = np.log(start) - 1, np.log(start) + 1
        found = seek(left, right, np.arange(left.size))
        log_tokens = found.x
        if len(missed := np.flatnonzero(~found.success)):
            further = elementwise.bracket_root(
                slope, left[missed], right[missed], args=(draws[missed], compute[missed])
            )
            lower, upper = (np.asarray(end) for end in further.bracket)
            found = seek(lower, upper, missed)
            log_tokens[missed] = found.x
        if not np.all(found.success):
            raise RuntimeError(f"{int((~found.success).sum())} of {log_tokens.size} draws have no optimum in range")
        return np.exp(log_tokens)

    @cached_property
    def _may_fall_twice(self) -> NDArray[np.bool_]:
        """``(draw,)`` True if languages interfere while data repeat, or if the law errs."""
        if self.objective.error is not None:
            return np.ones(self.objective.count, dtype=bool)
        if np.isinf(self.first_repeated):
            return np.zeros(self.objective.count, dtype=bool)
        return self.objective.interferes(self.shares)

    def _least(self, start: Floats, draws: NDArray[np.int64], compute: Floats) -> Floats:
        """Return the tokens of least loss on the whole budget line."""
        from scipy.optimize import elementwise

        def loss(log_tokens: Floats, draws: Any, compute: Floats) -> Floats:
            tokens = np.exp(log_tokens)
            return self.loss(self.cost.params(tokens, compute), tokens, draws.astype(np.int64))

        best = np.log(start)
        for steps in (np.arange(1 - LOOK, LOOK), np.linspace(-0.75, 0.75, 7)):  # the second between two of the first
            losses = np.stack([loss(best + step, draws, compute) for step in steps])
            best = best + steps[losses.argmin(axis=0)]
        width = steps[1] - steps[0]
        found = elementwise.find_minimum(
            loss,
            (best - width, best, best + width),
            args=(draws, compute),
            tolerances={
                "xatol": CLOSENESS if self.objective.error is None else LOOSE,
                "xrtol": 0.0,
                "fatol": 0.0,
                "frtol": 0.0,
            },
        )
        return np.exp(np.where(found.success, found.x, best))


def least_between(function: Callable[[float], float], least: float, most: float) -> float:
    """Minimise `function` between two ends: on a grid, then with scipy around the best grid point."""
    from scipy.optimize import minimize_scalar

    places = np.linspace(least, most, LOOKED_AT)
    values = [function(place) for place in places]
    best = int(np.argmin(values))
    around = places[max(best - 1, 0)], places[min(best + 1, LOOKED_AT - 1)]
    found = minimize_scalar(function, bounds=around, method="bounded", options={"xatol": CLOSENESS})
    return float(found.x) if found.fun < values[best] else float(places[best])


def problem(
    posterior: Posterior,
    *,
    language: str | None = None,
    weights: Mapping[str, float] | None = None,
    unique: float | Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    max_params: float | None = None,
    max_tokens: float | None = None,
    served: float | None = None,
    flops: Flops | None = None,
    law_error: str = LEARNED,
) -> Problem:
    """Set up a training problem; the arguments are those of `Request`.

    Raises:
        InputError: as `objective`; a share or limit is not a positive number; a weighted language has no share.
    """
    ahead = objective(posterior, language=language, weights=weights, unique=unique, law_error=law_error)
    own = [source_of(name) for name in ahead.weights]
    sampled = list(dict.fromkeys(own))
    mixture = mixed(posterior, dict.fromkeys(sampled, 1 / len(sampled)) if shares is None else shares)
    if absent := [name for name in own if name not in mixture]:
        raise InputError(
            f"the loss of {absent[0]} counts but it has no share of the tokens; give it a share, or omit its weight"
        )
    if unmixed := [name for name in ahead.unique if name not in mixture]:
        raise InputError(
            f"unique tokens are given for {unmixed[0]!r}, which is not sampled; choose from: {', '.join(mixture)}"
        )
    return Problem(
        ahead,
        mixture,
        cost(served, flops),
        np.inf if max_params is None else in_range("max_params", max_params, LIMITS, such_as="8e9"),
        np.inf if max_tokens is None else in_range("max_tokens", max_tokens, LIMITS, such_as="1e12"),
    )


def training_flops(params: Any, tokens: Any) -> Any:
    """Return 6 N D, the compute of fitted runs."""
    return TRAINING_FLOPS * params * tokens
