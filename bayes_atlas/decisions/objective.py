"""Expected losses of the weighted languages under a posterior, for each draw.

All decisions reach the posterior's law through this module. Sizes and tokens are plain counts here. The units of a
posterior's parameters stay inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.decisions.base import LIMITS, RATIOS, in_range
from bayes_atlas.errors import InputError
from bayes_atlas.law_error.learned import LawError
from bayes_atlas.posterior import Posterior

type Draws = slice | NDArray[np.int64]  # all draws, or one per element of the other arrays

EVERY: Draws = slice(None)
LEARNED, NONE = LAW_ERRORS = ("learned", "none")  # what to do about errors of the law
LEAST_LISTED = 5e-4  # smaller shares are not listed


@dataclass(frozen=True)
class Objective:
    """Losses of the weighted languages, under a law of size and tokens."""

    posterior: Posterior
    weights: dict[str, float]  # language -> weight, summing to 1
    unique: dict[str, float]  # source -> its unique tokens; a source that is absent never repeats
    error: LawError | None = None  # errors of the law; None if it is taken to hold

    @cached_property
    def parameters(self) -> dict[str, dict[str, Floats]]:
        """Draws of the law's parameters by language."""
        drawn = self.error or self.posterior
        return {language: drawn.parameters(language) for language in self.weights}

    @property
    def law_error(self) -> str:
        """``learned`` if the losses include errors of the law, else ``none``."""
        return NONE if self.error is None else LEARNED

    @property
    def if_law_holds(self) -> "Objective":
        """The same losses, if the law holds."""
        return replace(self, error=None)

    @cached_property
    def count(self) -> int:
        """The number of draws."""
        first = next(iter(self.parameters.values()))
        return len(first["alpha"])

    @cached_property
    def knows_repetition(self) -> bool:
        """True if the law includes repetition."""
        return "unique" in self.posterior.law.COVARIATES

    def unknown_sources(self, sources: Mapping[str, object]) -> list[str]:
        """Return sources that are neither a weighted language nor have a transfer weight in the posterior."""
        own = {source_of(language) for language in self.weights}
        named = {name for language in self.weights for name in self._named(language, sources)}
        others = any("tau_other" in drawn for drawn in self.parameters.values())
        return [name for name in sources if name not in own | named and not others]

    def interferes(self, sources: Mapping[str, object]) -> NDArray[np.bool_]:
        """``(draw,)`` True if tokens of some source harm a weighted language."""
        harmful = np.zeros(self.count, dtype=bool)
        for language, drawn in self.parameters.items():
            if named := self._slots(language, sources):
                harmful |= (drawn["tau"][:, named] < 0).any(axis=1)
            if self._others(language, sources):
                harmful |= drawn["tau_other"] < 0
        return harmful

    def losses(self, params: Any, tokens: Mapping[str, Any], draws: Draws = EVERY) -> dict[str, Floats]:
        """Return the expected loss of every weighted language.

        Args:
            params: parameters of the model, `(..., draw)` or anything that broadcasts to it.
            tokens: source -> its training tokens, of the same shape.
            draws: the draws along the last axis.
        """
        law = self.posterior.law
        found = {}
        for language in self.weights:
            covariates = self._covariates(language, params, tokens)
            drawn = self._drawn(language, tokens)
            if self.error is None:
                found[language] = law.loss(**covariates, **_chosen(drawn, draws))
            else:
                found[language] = self.error.bend(language).loss(law, covariates, drawn, draws)
        return found

    def loss(self, params: Any, tokens: Mapping[str, Any], draws: Draws = EVERY) -> Floats:
        """Return the weighted mean of `losses`."""
        losses = self.losses(params, tokens, draws)
        return np.asarray(sum(self.weights[language] * loss for language, loss in losses.items()))

    def slopes(self, params: Any, tokens: Mapping[str, Any], draws: Draws = EVERY) -> tuple[Floats, dict[str, Floats]]:
        """Return slopes of the weighted loss in the log of `params`, and in the log of each source's tokens."""
        law = self.posterior.law
        of_params: Any = 0.0
        of_tokens: dict[str, Any] = dict.fromkeys(tokens, 0.0)
        for language, weight in self.weights.items():
            covariates = self._covariates(language, params, tokens)
            drawn = self._drawn(language, tokens)
            if self.error is None:
                chosen = _chosen(drawn, draws)
            else:
                chosen = self.error.bend(language).with_slopes(law, covariates, drawn, draws)
            slopes = law.slopes(**covariates, **chosen)
            of_params = of_params + weight * slopes.params
            of_tokens[source_of(language)] = of_tokens[source_of(language)] + weight * slopes.tokens
            if slopes.source_tokens is not None:
                for slot, name in enumerate(self._named(language, tokens)):
                    of_tokens[name] = of_tokens[name] + weight * slopes.source_tokens[..., slot]
            if slopes.other_tokens is not None:
                for name, part in self._parts_of_others(language, tokens).items():
                    of_tokens[name] = of_tokens[name] + weight * part * slopes.other_tokens
        return of_params, of_tokens

    def _named(self, language: str, tokens: Mapping[str, Any]) -> list[str]:
        """Return the language's named sources that are in `tokens`."""
        if "tau" not in self.parameters[language]:
            return []
        return [name for name in self.posterior.info.sources[language] if name in tokens]

    def _slots(self, language: str, tokens: Mapping[str, Any]) -> list[int]:
        """Return the positions in the posterior of the language's named sources that are in `tokens`."""
        return [self.posterior.info.sources[language].index(name) for name in self._named(language, tokens)]

    def _others(self, language: str, tokens: Mapping[str, Any]) -> list[str]:
        """Return the sources that the posterior lumps together for this language."""
        if "tau_other" not in self.parameters[language]:
            return []
        known = {source_of(language), *self.posterior.info.sources[language]}
        return [name for name in tokens if name not in known]

    def _parts_of_others(self, language: str, tokens: Mapping[str, Any]) -> dict[str, Any]:
        names = self._others(language, tokens)
        total = sum(tokens[name] for name in names)
        return {name: tokens[name] / total for name in names}

    def _covariates(self, language: str, params: Any, tokens: Mapping[str, Any]) -> dict[str, Any]:
        reference = self.posterior.info.references[language]
        unit, own = reference["tokens"], source_of(language)
        covariates: dict[str, Any] = {"params": params / reference["params"], "tokens": tokens[own] / unit}
        if self.knows_repetition:
            covariates["unique"] = self.unique[own] / unit if own in self.unique else None
        if named := self._named(language, tokens):
            stacked = np.broadcast_arrays(*(np.asarray(tokens[name], dtype=float) for name in named))
            covariates["source_tokens"] = np.stack(stacked, axis=-1) / unit
            covariates["source_unique"] = self._limits(named, unit)
        if others := self._others(language, tokens):
            covariates["other_tokens"] = sum(tokens[name] for name in others) / unit
            covariates["other_unique"] = self._limits(others, unit).sum()
        return covariates

    def _limits(self, sources: list[str], unit: float) -> Floats:
        return np.array([self.unique.get(name, np.inf) / unit for name in sources])

    def _drawn(self, language: str, tokens: Mapping[str, Any]) -> dict[str, Floats]:
        """Return draws of a language's parameters, with the taus of those sources alone that are in `tokens`."""
        drawn = {name: values for name, values in self.parameters[language].items() if values.ndim == 1}
        if slots := self._slots(language, tokens):
            drawn["tau"] = self.parameters[language]["tau"][:, slots]
        return drawn


def _chosen(drawn: Mapping[str, Floats], draws: Draws) -> dict[str, Floats]:
    return {name: values[draws] for name, values in drawn.items()}


def objective(
    posterior: Posterior,
    *,
    language: str | None = None,
    weights: Mapping[str, float] | None = None,
    unique: float | Mapping[str, float] | None = None,
    law_error: str = LEARNED,
) -> Objective:
    """Set the weighted languages, and their unique tokens.

    Args:
        posterior: a posterior whose law includes size and tokens.
        language: the only language whose loss counts; may be omitted if the posterior has only one.
        weights: instead, language -> weight of its loss; scaled to sum to 1.
        unique: unique tokens by source, or one number for a single language; None if unlimited.
        law_error: ``learned`` for losses of a law that errs as runs and public tables show, ``none`` for those of a law
            that holds. A posterior without stored errors counts as one whose law holds.

    Raises:
        InputError: the posterior lacks a language, or its law has no optimum; a number is not positive; two languages
            have the same tokens.
    """
    law = posterior.law
    if not hasattr(law, "optimum"):
        raise InputError(f"{posterior.name} fits the law {posterior.info.law!r}, which has no compute-optimal point")
    if weights is None:
        weights = {posterior.language(language): 1.0}
    elif language is not None:
        raise InputError(f"both the language {language} and weights were given; leave one out")
    if not weights:
        raise InputError(f"weights is empty; give a weight to at least one of: {', '.join(posterior.info.languages)}")
    for name, weight in weights.items():
        posterior.language(name)
        in_range(f"weight of {name}", weight, RATIOS, such_as="1")
    own = [source_of(name) for name in weights]
    if doubled := {name for name in own if own.count(name) > 1}:
        raise InputError(
            f"several weighted languages are trained on the tokens of {min(doubled)}; give a weight to only one of: "
            f"{', '.join(name for name in weights if source_of(name) in doubled)}"
        )
    if law_error not in LAW_ERRORS:
        raise InputError(f"law_error is {law_error!r}; choose one of: {', '.join(LAW_ERRORS)}")
    total = sum(weights.values())
    limits = _by_source("unique", unique, own)
    error = LawError.of(posterior) if law_error == LEARNED else None
    return Objective(posterior, {name: weight / total for name, weight in weights.items()}, limits, error)


def _by_source(what: str, given: float | Mapping[str, float] | None, own: list[str]) -> dict[str, float]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {source: in_range(f"{what} of {source}", value, LIMITS) for source, value in given.items()}
    if len(own) > 1:
        raise InputError(f"{what} is {given:.4g} for several languages; give it for each of: {', '.join(own)}")
    return {own[0]: in_range(what, given, LIMITS)}


def listed(parts: Mapping[str, float]) -> str:
    """Return names with their shares, in words."""
    if len(parts) == 1:
        return next(iter(parts))
    return ", ".join(f"{name} {part:.3g}" for name, part in parts.items() if part >= LEAST_LISTED)
