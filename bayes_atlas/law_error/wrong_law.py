"""A law evaluated with its errors: exponents that run, and terms that are not additive."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.law_error.walks import STEP, Walk

BOTH = ("alpha", "beta")  # exponents of size and of data
FARTHEST = 4.0  # e-folds of size and tokens from their origins, after which q stays constant
LOG_Q = (-0.2, 1.5)  # least and largest log q
EVERY = slice(None)


@dataclass(frozen=True)
class Bend:
    """Errors of the law of one language, one for each draw."""

    walks: dict[str, Walk]  # by exponent
    log_q: Floats  # (draw,)
    drift: Floats  # (draw,) slope of log q in the mean log of size and tokens, from the origins of their walks
    log_units: dict[str, float]  # exponent -> log of the unit of what it is an exponent of

    def origin(self, exponent: str) -> float:
        """Return the log of what `exponent` is an exponent of, in its unit, where its walks begin."""
        return self.walks[exponent].origin * STEP - self.log_units[exponent]

    def local(
        self,
        law: ModuleType,
        covariates: Mapping[str, Any],
        drawn: Mapping[str, Floats],
        draws: Any = EVERY,
        *,
        tangent: bool = False,
    ) -> dict[str, Any]:
        """Return parameters with which the law, at one plan, has the value of the wrong law.

        Args:
            law: a law with `RUNNING`, `axes` and `terms`.
            covariates: the plan, in the units of the parameters, ``(..., element)``.
            drawn: parameters ``(draw,)`` or ``(draw, source)``.
            draws: the draw of each element, or all draws in turn.
            tangent: whether the law has the slopes of the wrong law too. Local exponents may then be negative.

        Returns:
            Parameters ``(..., element)``.
        """
        found: dict[str, Any] = {name: values[draws] for name, values in drawn.items()}
        reached = law.axes(**covariates, **found)
        for name, (coefficient, sign) in law.RUNNING.items():
            walk, unit = self.walks[name], self.log_units[name]
            log_size = np.log(reached[name])
            exponent, integral = walk.at(drawn[name], log_size + unit, draws)
            constant = drawn[name][draws] * (walk.origin * STEP - unit)
            found[coefficient] = found[coefficient] * np.exp(sign * (constant + integral - exponent * log_size))
            found[name] = exponent
        terms = law.terms(**covariates, **found)
        along = sum(np.log(reached[name]) - self.origin(name) for name in BOTH) / 2
        wanted = self.log_q[draws] + self.drift[draws] * np.clip(along, -FARTHEST, FARTHEST)
        log_q = np.clip(wanted, *LOG_Q)
        q = np.exp(log_q)
        logs = np.log(terms.size), np.log(terms.data)
        total = np.logaddexp(q * logs[0], q * logs[1]) / q
        for (coefficient, _), log_term in zip((law.RUNNING[name] for name in BOTH), logs, strict=True):
            found[coefficient] = found[coefficient] * np.exp((q - 1) * (log_term - total))
        if tangent:
            self._add_drift(found, reached, logs, total, q, np.where(log_q == wanted, self.drift[draws], 0.0))
        return found

    def _add_drift(
        self, found: dict[str, Any], reached: Mapping[str, Any], logs: Any, total: Any, q: Any, drift: Any
    ) -> None:
        """Change the local exponents so that slopes include the change of q along a plan."""
        parts = [np.exp(q * (log_term - total)) for log_term in logs]
        of_loss = sum(part * q * (log_term - total) for part, log_term in zip(parts, logs, strict=True)) / q
        for name, coefficient, part in zip(BOTH, ("A", "B"), parts, strict=True):
            change = of_loss * drift / 2 / part
            found[name] = found[name] - change
            found[coefficient] = found[coefficient] * np.exp(-change * np.log(reached[name]))
