"""A law evaluated with its errors: exponents that run, and terms that are not additive."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from bayes_atlas.arrays import Floats
from bayes_atlas.law_error.walks import STEP, Walk

EVERY = slice(None)
BOTH = {"alpha": "A", "beta": "B"}  # exponents of size and of data, and the coefficients of their terms
TINY = np.finfo(float).tiny  # a term of reducible loss that is too small for a number counts as this
FARTHEST = 4.0  # e-folds of size and tokens from their origins, after which q stays constant
LOG_Q = (-0.2, 1.5)  # least and largest log q
SOFT = 0.01  # width over which log q flattens towards these
FLAT = 30 * SOFT  # distance from these where nothing flattens, in double precision


class Terms(NamedTuple):
    """The two terms of reducible loss at a plan, in logs, and how they join."""

    logs: dict[str, Any]  # exponent, of `BOTH` -> log of its term
    steeper: dict[str, Any]  # exponent, of `BOTH` -> log of the local exponent over the law's constant
    above: dict[str, Any]  # exponent, of `BOTH` -> log of its term over that of the law's constants
    q: Any
    drift: Any  # slope of log q in the log of size, and of tokens

    @property
    def log_reducible(self) -> Any:
        """Log of reducible loss."""
        return np.logaddexp(*(self.q * each for each in self.logs.values())) / self.q

    @property
    def parts(self) -> dict[str, Any]:
        """Shares of the terms to the power q; they sum to 1."""
        return {name: np.exp(self.q * (each - self.log_reducible)) for name, each in self.logs.items()}


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

    def loss(
        self, law: ModuleType, covariates: Mapping[str, Any], drawn: Mapping[str, Floats], draws: Any = EVERY
    ) -> Floats:
        """Return the loss of the wrong law, ``(..., element)``.

        Args:
            law: a law with `RUNNING`, `axes` and `terms`.
            covariates: the plan, in the units of the parameters, ``(..., element)``.
            drawn: parameters ``(draw,)`` or ``(draw, source)``.
            draws: the draw of each element, or all draws in turn.
        """
        chosen = {name: values[draws] for name, values in drawn.items()}
        irreducible = law.loss(**covariates, **chosen) - sum(law.terms(**covariates, **chosen))
        return np.asarray(irreducible + np.exp(self.terms(law, covariates, drawn, draws).log_reducible))

    def terms(
        self, law: ModuleType, covariates: Mapping[str, Any], drawn: Mapping[str, Floats], draws: Any = EVERY
    ) -> Terms:
        """Return the terms of reducible loss; arguments as in `loss`."""
        chosen = {name: values[draws] for name, values in drawn.items()}
        reached, terms = law.axes(**covariates, **chosen), law.terms(**covariates, **chosen)
        above: dict[str, Any] = dict.fromkeys(BOTH, 0.0)
        steeper = {}
        of_term = {coefficient: name for name, coefficient in BOTH.items()}
        for name, (coefficient, sign) in law.RUNNING.items():
            log_size = np.log(reached[name])
            exponent, integral = self.walks[name].at(drawn[name], log_size + self.log_units[name], draws)
            constant = chosen[name] * (log_size - self.origin(name))
            above[of_term[coefficient]] = above[of_term[coefficient]] + sign * (integral - constant)
            if name in BOTH:
                steeper[name] = np.log(exponent / chosen[name])
        along = sum(np.log(reached[name]) - self.origin(name) for name in BOTH) / 2
        wanted = self.log_q[draws] + self.drift[draws] * np.clip(along, -FARTHEST, FARTHEST)
        log_q, flattened = _within(wanted)
        drift = np.where(np.abs(along) < FARTHEST, flattened * self.drift[draws] / 2, 0.0)
        logs = {name: np.log(np.maximum(term, TINY)) + above[name] for name, term in zip(BOTH, terms, strict=True)}
        return Terms(logs, steeper, above, np.exp(log_q), drift)

    def with_slopes(
        self, law: ModuleType, covariates: Mapping[str, Any], drawn: Mapping[str, Floats], draws: Any = EVERY
    ) -> dict[str, Any]:
        """Return parameters with which the law, at one plan, has the slopes of the wrong law; arguments as in `loss`.

        The slope of a term of the law in its own log size is its exponent times the term. That of the wrong law is
        another number at that plan, and so that of a law with another coefficient. The sizes themselves may depend on
        the coefficients (`bayes_atlas.laws.data_constrained`): ``of_axes`` keeps those of the wrong law.
        """
        chosen = {name: values[draws] for name, values in drawn.items()}
        found: dict[str, Any] = dict(chosen)
        bent = self.terms(law, covariates, drawn, draws)
        parts, total = bent.parts, bent.log_reducible
        of_q = np.exp(total) * sum(
            part * (log - total) for part, log in zip(parts.values(), bent.logs.values(), strict=True)
        )
        for name, coefficient in BOTH.items():
            log_term = bent.logs[name]
            factor = np.exp(bent.above[name] + bent.steeper[name] + (bent.q - 1) * (log_term - total))
            of_law = found[name] * np.exp(log_term - bent.above[name])
            found[coefficient] = found[coefficient] * (factor - of_q * bent.drift / of_law)
        if getattr(law, "AXES_OF_COEFFICIENTS", False):
            found["of_axes"] = {name: chosen[name] for name in BOTH.values()}
        return found


def _within(log_q: Any) -> tuple[Any, Any]:
    """Return log q flattened towards the ends of `LOG_Q`, and its slope in `log_q`."""
    least, most = LOG_Q
    if np.min(log_q) > least + FLAT and np.max(log_q) < most - FLAT:
        return log_q, 1.0
    above = least + SOFT * np.logaddexp(0.0, (log_q - least) / SOFT)
    slope = expit((log_q - least) / SOFT) * expit((most - above) / SOFT)
    return most - SOFT * np.logaddexp(0.0, (most - above) / SOFT), slope
