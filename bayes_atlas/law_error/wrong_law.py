"""A law evaluated with its errors: exponents that run, and terms that are not additive."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.law_error.walks import STEP, Walk

EVERY = slice(None)


@dataclass(frozen=True)
class Bend:
    """Errors of the law of one language, one for each draw."""

    walks: dict[str, Walk]  # by exponent
    log_q: Floats  # (draw,)
    log_units: dict[str, float]  # exponent -> log of the unit of what it is an exponent of

    def origin(self, exponent: str) -> float:
        """Return the log of what `exponent` is an exponent of, in its unit, where its walks begin."""
        return self.walks[exponent].origin * STEP - self.log_units[exponent]

    def local(
        self, law: ModuleType, covariates: Mapping[str, Any], drawn: Mapping[str, Floats], draws: Any = EVERY
    ) -> dict[str, Any]:
        """Return parameters with which the law, at one plan, has the value and slopes of the wrong law.

        Args:
            law: a law with `RUNNING`, `axes` and `terms`.
            covariates: the plan, in the units of the parameters, ``(..., element)``.
            drawn: parameters ``(draw,)`` or ``(draw, source)``.
            draws: the draw of each element, or all draws in turn.

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
        q = np.exp(self.log_q[draws])
        logs = np.log(terms.size), np.log(terms.data)
        total = np.logaddexp(q * logs[0], q * logs[1]) / q
        found["A"] = found["A"] * np.exp((q - 1) * (logs[0] - total))
        found["B"] = found["B"] * np.exp((q - 1) * (logs[1] - total))
        return found
