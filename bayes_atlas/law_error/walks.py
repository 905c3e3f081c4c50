"""Exponents that run: random walks of log exponents over a grid of log sizes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayes_atlas.arrays import Floats

STEP = 0.5  # e-folds between two knots
LEAST_GROWN = 1e-6  # growth, in logs, whose mean exponent is the local one
STEEPEST = 1.0  # walks flatten towards this absolute value: exponents change by less than a factor of 2.7


def knot(log_size: float) -> int:
    """Return the knot nearest to a log size. Knot k lies at ``k * STEP``."""
    return round(log_size / STEP)


@dataclass(frozen=True)
class Walk:
    """Walks of a log exponent, one for each draw. They are zero at one knot, their origin."""

    first: int  # the first knot
    origin: int
    steps: Floats  # (draw, knot - 1): increments from each knot to the next, away from the origin, before flattening

    @cached_property
    def values(self) -> Floats:
        """``(draw, knot)`` log of the exponent at each knot, above the law's constant."""
        left = self.origin - self.first
        before = np.cumsum(self.steps[:, :left][:, ::-1], axis=1)[:, ::-1]
        after = np.cumsum(self.steps[:, left:], axis=1)
        here = np.zeros((len(self.steps), 1))
        return np.asarray(STEEPEST * np.tanh(np.concatenate([before, here, after], axis=1) / STEEPEST))

    def at(self, exponent: Floats, log_size: Floats, draws: Any) -> tuple[Floats, Floats]:
        """Return the local exponent, and its integral from the origin.

        Between knots an exponent is linear, and beyond the first and the last knot it is constant.

        Args:
            exponent: the law's constant, ``(draw,)``.
            log_size: ``(..., element)``.
            draws: the draw of each element, ``(element,)``, or a slice of all draws.

        Returns:
            Two arrays ``(..., element)``.
        """
        values, cumulated = self._of_one
        rows = np.arange(len(values))[draws]
        place = np.asarray(log_size) / STEP - self.first
        within = np.clip(place, 0.0, values.shape[1] - 1.0)
        left = np.minimum(within.astype(np.int64), values.shape[1] - 2)
        rows, left = np.broadcast_arrays(rows, left)
        part = within - left
        start, end = values[rows, left], values[rows, left + 1]
        local = start + (end - start) * part
        integral = cumulated[rows, left] + STEP * (start + (end - start) * part / 2) * part
        constant = exponent[draws]
        return constant * local, constant * (integral + STEP * (place - within) * local)

    def mean(self, exponent: Floats, log_start: Any, grown: Any) -> Floats:
        """Return the mean of the local exponent ``(draw,)`` from a log size over a growth of it, in logs.

        Args:
            exponent: the law's constant, ``(draw,)``.
            log_start, grown: log size, and log of the factor on it; each one number or ``(draw,)``.
        """
        ones = np.ones(len(exponent))
        local, before = self.at(exponent, log_start * ones, slice(None))
        _, after = self.at(exponent, (log_start + grown) * ones, slice(None))
        far = np.abs(grown * ones) > LEAST_GROWN
        return np.where(far, (after - before) / np.where(far, grown * ones, 1.0), local)

    @cached_property
    def _of_one(self) -> tuple[Floats, Floats]:
        """Local exponents at the knots for a constant of 1, and their integrals from the origin; ``(draw, knot)``."""
        local = np.exp(self.values)
        pieces = STEP * (local[:, 1:] + local[:, :-1]) / 2
        cumulated = np.concatenate([np.zeros((len(local), 1)), np.cumsum(pieces, axis=1)], axis=1)
        return local, cumulated - cumulated[:, [self.origin - self.first]]
