"""From K languages to r K at equal loss: how much larger the model, and how much more data (Longpre et al. 2025, §5).

From a compute-optimal start the growth depends on nothing but the exponents. From any other start, or off the cheapest
path, size and data trade off along an iso-loss frontier (Eq. 8 there); beyond its ends no amount of the one makes up
for the lack of the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.decisions.objective import positive
from bayes_atlas.decisions.optimum import posterior_notes
from bayes_atlas.decisions.problem import training_flops
from bayes_atlas.decisions.summary import Summary, summarise_all
from bayes_atlas.errors import InputError
from bayes_atlas.laws import capacity
from bayes_atlas.posterior import Posterior

EXPONENTS = ("alpha", "beta", "phi", "psi")
SIZES = np.geomspace(0.5, 8.0, 33)  # factors on size along a frontier unless others are asked for


@dataclass(frozen=True)
class Start:
    """The run to grow from; a compute-optimal one where there is none."""

    params: float
    tokens: float  # in all, evenly divided
    languages: float


@dataclass(frozen=True)
class Expansion:
    """Draws ``(draw,)`` of the cheapest growth that keeps the loss."""

    language: str
    factor: float  # r
    start: Start | None
    params_factor: Floats
    tokens_factor: Floats  # on the tokens in all
    tokens_per_language_factor: Floats
    compute_factor: Floats
    notes: list[str]

    @property
    def quantities(self) -> dict[str, Floats]:
        """Draws by name."""
        names = ("params_factor", "tokens_factor", "tokens_per_language_factor", "compute_factor")
        return {name: getattr(self, name) for name in names}

    def summary(self, probability: float = 0.9) -> dict[str, Summary]:
        """Median, mean and interval of every factor."""
        return summarise_all(self.quantities, probability)


@dataclass(frozen=True)
class Frontier:
    """Growths of equal loss, one for every size."""

    expansion: Expansion  # the cheapest of them
    params_factor: Floats  # (size,)
    tokens_factor: Floats  # (draw, size) on the tokens in all; infinite where no amount of data keeps the loss
    compute_factor: Floats  # (draw, size)

    @property
    def infeasible(self) -> Floats:
        """``(size,)`` probability that no amount of data keeps the loss with a model of that size."""
        return np.isinf(self.tokens_factor).mean(axis=0)

    def band(self, quantity: str = "tokens_factor", probability: float = 0.9) -> NDArray[np.float64]:
        """Lower end, median and upper end ``(3, size)`` of ``tokens_factor`` or ``compute_factor``; may be infinite."""
        ends = [(1 - probability) / 2, 0.5, (1 + probability) / 2]
        return np.quantile(getattr(self, quantity), ends, axis=0, method="inverted_cdf")

    def to_list(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """JSON of it, by size; None stands for infinite."""
        rows: list[dict[str, Any]] = []
        bands = {name: self.band(name, probability) for name in ("tokens_factor", "compute_factor")}
        for index, (size, share) in enumerate(zip(self.params_factor, self.infeasible, strict=True)):
            row: dict[str, Any] = {"params_factor": float(size), "infeasible": float(share)}
            for name, band in bands.items():
                lower, median, upper = (float(v) if np.isfinite(v) else None for v in band[:, index])
                row[name] = {"median": median, "lower": lower, "upper": upper, "probability": probability}
            rows.append(row)
        return rows


def expand(
    posterior: Posterior,
    *,
    factor: float,
    language: str | None = None,
    params: float | None = None,
    tokens: float | None = None,
    languages: float | None = None,
) -> Expansion:
    """The cheapest growth that keeps the loss with `factor` times as many languages.

    Args:
        posterior: a posterior of the law ``capacity``.
        factor: r, by which the number of languages grows.
        language: the one whose loss is kept. Where None and the posterior has several, it is that of a typical
            language, with the mean of their exponents and of their shares of loss that are due to size.
        params, tokens, languages: the run to grow from, with its tokens in all; a compute-optimal one where absent.

    Raises:
        InputError: another law, no such language, or a number that is not positive or is missing.
    """
    start = _start(params, tokens, languages)
    names = _languages(posterior, language)
    positive("factor", factor, such_as="2")
    weight, exponents = _typical(posterior, names, start)
    growth = capacity.cheapest_expansion(factor, weight, **exponents)
    return Expansion(
        language=", ".join(names),
        factor=factor,
        start=start,
        params_factor=growth.params,
        tokens_factor=growth.tokens,
        tokens_per_language_factor=growth.tokens_per_language,
        compute_factor=growth.compute,
        notes=_notes(posterior, growth, start),
    )


def frontier(
    posterior: Posterior,
    *,
    factor: float,
    language: str | None = None,
    params: float | None = None,
    tokens: float | None = None,
    languages: float | None = None,
    params_factors: Floats = SIZES,
) -> Frontier:
    """Data that keep the loss with `factor` times as many languages, for every factor on size (Eq. 8).

    Args:
        params_factors: factors on size ``(size,)``; the others are those of `expand`.

    Raises:
        InputError: of `expand`, or a factor on size that is not positive.
    """
    cheapest = expand(posterior, factor=factor, language=language, params=params, tokens=tokens, languages=languages)
    sizes = np.asarray(params_factors, dtype=float)
    for size in sizes.tolist():
        positive("factor on size", size, such_as="2")
    weight, exponents = _typical(posterior, _languages(posterior, language), cheapest.start)
    along = {name: values[:, None] for name, values in exponents.items()}
    per_language = capacity.tokens_at_equal_loss(factor, sizes, weight[:, None], **along)
    total = factor * np.where(np.isnan(per_language), np.inf, per_language)
    return Frontier(cheapest, sizes, total, total * sizes)


def _languages(posterior: Posterior, language: str | None) -> list[str]:
    if not hasattr(posterior.law, "expansion"):
        raise InputError(
            f"{posterior.name} fits the law {posterior.info.law!r}, which does not know the number of languages; use a "
            f"posterior of the law 'capacity', such as capacity-simulated"
        )
    return posterior.info.languages if language is None else [posterior.language(language)]


def _start(params: float | None, tokens: float | None, languages: float | None) -> Start | None:
    given = {"params": params, "tokens": tokens, "languages": languages}
    known = {name: positive(name, value, such_as="8") for name, value in given.items() if value is not None}
    if known and len(known) < len(given):
        missing = ", ".join(name for name in given if name not in known)
        raise InputError(f"the run to grow from lacks {missing}; give params, tokens and languages, or none of them")
    return Start(**known) if known else None


def _typical(posterior: Posterior, names: list[str], start: Start | None) -> tuple[Floats, dict[str, Floats]]:
    """Share of the start's reducible loss that is due to its size, and exponents: means over the languages."""
    drawn = {name: posterior.parameters(name) for name in names}
    exponents = {name: np.mean([draws[name] for draws in drawn.values()], axis=0) for name in EXPONENTS}
    if start is None:  # a compute-optimal run of the typical language
        return exponents["beta"] / (exponents["alpha"] + exponents["beta"]), exponents
    weights = [_weight(posterior, name, draws, start) for name, draws in drawn.items()]
    return np.mean(weights, axis=0), exponents


def _weight(posterior: Posterior, language: str, draws: Mapping[str, Floats], start: Start) -> Floats:
    """Share of the start's reducible loss that is due to its size."""
    reference = posterior.info.references[language]
    return capacity.size_weight(
        start.params / reference["params"],
        start.tokens / start.languages / reference["tokens"],
        start.languages,
        **{name: draws[name] for name in ("A", "B", *EXPONENTS)},
    )


def _notes(posterior: Posterior, growth: capacity.Expansion, start: Start | None) -> list[str]:
    compute = 0.0 if start is None else float(np.median(growth.compute) * training_flops(start.params, start.tokens))
    return posterior_notes(posterior, compute)
