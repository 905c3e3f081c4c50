"""Cost of a plan: FLOPs of training and of inference."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.decisions.base import SIZES, in_range
from bayes_atlas.errors import InputError
from bayes_atlas.laws import TRAINING_FLOPS

type Flops = Callable[[Floats, Floats], Floats]  # (size, tokens) -> training FLOPs, all `(...)`, increasing in both

INFERENCE = 2  # FLOPs per parameter and token served
REACH = 50.0  # in log size; the largest distance between a user's function and 6 N D
STEP = 1e-4  # in log tokens; finite difference of a user's function, with an error of order STEP**2


@dataclass(frozen=True)
class Cost:
    """FLOPs to train `params` parameters on `tokens` tokens and to serve `served` tokens with the model."""

    served: float = 0.0
    training: Flops | None = None  # None: 6 FLOPs per parameter and token

    @property
    def convention(self) -> str:
        """The convention for counting FLOPs, in words."""
        trained = "6 N D" if self.training is None else f"{getattr(self.training, '__name__', 'a function')}(N, D)"
        return f"{trained} + 2 N x {self.served:.4g} served" if self.served else trained

    @property
    def is_plain(self) -> bool:
        """True if the cost is 6 N D alone, for which the laws have closed forms."""
        return self.training is None and not self.served

    def total(self, params: Any, tokens: Any) -> Floats:
        """Return the total FLOPs."""
        train = TRAINING_FLOPS * params * tokens if self.training is None else self._training(params, tokens)
        return np.asarray(train + INFERENCE * self.served * params)

    def params(self, tokens: Any, compute: Any) -> Floats:
        """Return the size that spends `compute` with `tokens` training tokens."""
        if self.training is None:
            return np.asarray(compute / (TRAINING_FLOPS * tokens + INFERENCE * self.served))
        return self._solve(lambda size, other: self.total(size, other), tokens, compute)

    def tokens(self, params: Any, compute: Any) -> Floats:
        """Return the training tokens that spend `compute` with `params` parameters; 0 if serving alone costs more."""
        if self.training is None:
            return np.asarray(np.maximum(compute / params - INFERENCE * self.served, 0.0) / TRAINING_FLOPS)
        left = np.asarray(compute - INFERENCE * self.served * params, dtype=float)
        spent = self._solve(lambda data, size: self._training(size, data), params, np.maximum(left, 1.0))
        return np.where(left > 0, spent, 0.0)

    def slope(self, tokens: Any, compute: Any) -> Floats:
        """Return the slope of log size in log tokens at constant `compute`; negative."""
        if self.training is None:
            trained = TRAINING_FLOPS * tokens
            return np.asarray(-trained / (trained + INFERENCE * self.served))
        more, less = (self.params(tokens * np.exp(step), compute) for step in (STEP, -STEP))
        return np.asarray(np.log(more / less) / (2 * STEP))

    def _training(self, params: Any, tokens: Any) -> NDArray[np.float64]:
        assert self.training is not None
        flops = np.asarray(self.training(params, tokens), dtype=float)
        if not (np.isfinite(flops).all() and (flops > 0).all()):
            raise InputError(
                f"{self.convention} returned FLOPs that are not positive; it takes arrays of sizes and of tokens and "
                f"must increase in both"
            )
        return flops

    def _solve(self, flops: Callable[[Floats, Floats], Floats], other: Any, compute: Any) -> Floats:
        """Solve `flops(size, other) = compute` for the size."""
        other, compute = np.broadcast_arrays(np.asarray(other, dtype=float), np.asarray(compute, dtype=float))

        def excess(log_size: Floats, other: Floats, compute: Floats) -> Floats:
            return np.log(flops(np.exp(log_size), other) / compute)

        guess = np.log(compute / (TRAINING_FLOPS * other))
        from scipy.optimize import elementwise

        bracket = elementwise.bracket_root(
            excess, guess - 0.5, guess + 0.5, xmin=guess - REACH, xmax=guess + REACH, args=(other, compute)
        )
        if not np.all(bracket.success):
            raise InputError(
                f"{self.convention} spends {np.ravel(compute)[0]:.3g} FLOPs at no size; it must increase in N"
            )
        found = elementwise.find_root(excess, bracket.bracket, args=(other, compute))
        return np.exp(found.x)


def cost(served: float | None = None, flops: Flops | None = None) -> Cost:
    """Return the cost of plans.

    Args:
        served: tokens of inference to serve, at 2 FLOPs per parameter and token.
        flops: training FLOPs as a function of arrays of sizes and tokens; by default 6 per parameter and token.

    Raises:
        InputError: `served` is not a positive number.
    """
    return Cost(0.0 if served is None else in_range("served", served, SIZES, such_as="1e13"), flops)
