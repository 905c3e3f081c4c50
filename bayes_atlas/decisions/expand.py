"""Growth from K languages to r K at equal loss, in model size and data (Longpre et al. 2025, §5).

From a compute-optimal start the growth depends on the exponents alone. From any other start, or off the cheapest path,
size and data trade off along an iso-loss frontier (Eq. 8 there). The frontier ends where no amount of data makes up
for a small model, or no size for little data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import cells, number
from bayes_atlas.decisions.base import RATIOS, SIZES, Decision, dataset, in_range
from bayes_atlas.decisions.hull import outside_of_any
from bayes_atlas.decisions.monte_carlo import numerics, numerics_notes
from bayes_atlas.decisions.objective import LAW_ERRORS, LEARNED, NONE
from bayes_atlas.decisions.optimum import if_law_holds, posterior_notes
from bayes_atlas.decisions.problem import training_flops
from bayes_atlas.decisions.summary import Summary, levels, summarise_all
from bayes_atlas.errors import InputError
from bayes_atlas.law_error.learned import LawError
from bayes_atlas.laws import capacity
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

EXPONENTS = ("alpha", "beta", "phi", "psi")
AXES = ("params", "tokens", "languages")
PASSES = 4  # in which mean exponents over a growth settle
FARTHEST = (1e-12, 1e12)  # factors on tokens that these means reach
SIZE_FACTORS = np.geomspace(0.5, 8.0, 33)  # default factors on size along a frontier


LABELS = {  # of the growth factors
    "params_factor": "params N x",
    "tokens_factor": "tokens D x",
    "tokens_per_language_factor": "tokens per language x",
    "compute_factor": "compute x",
}
ALONG = ("tokens_factor", "compute_factor")  # factors that vary along a frontier
UNITS = {
    "params_factor": ("factor on the number of parameters", "1"),
    "tokens_factor": ("factor on the training tokens of all languages together", "1"),
    "tokens_per_language_factor": ("factor on the training tokens of each language", "1"),
    "compute_factor": ("factor on training compute", "1"),
}


@dataclass(frozen=True)
class Start:
    """The run to grow from."""

    params: float
    tokens: float  # of all languages, evenly divided
    languages: float


@dataclass(frozen=True, repr=False)
class Expansion(Decision):
    """Draws ``(draw,)`` of the cheapest growth at equal loss."""

    posterior: Posterior
    language: str
    factor: float  # r
    start: Start | None
    params_factor: Floats
    tokens_factor: Floats  # on the tokens of all languages together
    tokens_per_language_factor: Floats
    compute_factor: Floats
    notes: list[str]
    law_error: str = NONE
    if_law_holds: "Expansion | None" = None  # the same without errors of the law; None if these are not included

    @property
    def question(self) -> str:
        """The growth in one line."""
        since = (
            "a compute-optimal run"
            if self.start is None
            else f"{number(self.start.params)} parameters on {number(self.start.tokens)} tokens"
        )
        kept = f"a typical one of {self.language}" if "," in self.language else self.language
        return f"{self.posterior.name}: {self.factor:g} times as many languages from {since}, at the loss of {kept}"

    @property
    def quantities(self) -> dict[str, Floats]:
        """Draws by name."""
        return {name: getattr(self, name) for name in LABELS}

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the growth factors; dim ``draw``."""
        return dataset({name: (("draw",), values) for name, values in self.quantities.items()}, units=UNITS)

    def summary(self, probability: float = 0.9) -> dict[str, Summary]:
        """Median, mean and interval of every factor."""
        return summarise_all(self.quantities, probability, chains=self.posterior.chains)

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document of the growth."""
        return {
            "posterior": self.posterior.name,
            "language": self.language,
            "factor": self.factor,
            "start": None if self.start is None else asdict(self.start),
            **self.summary(probability),
            "law_error": self.law_error,
            "if_law_holds": None if self.if_law_holds is None else self.if_law_holds.summary(probability),
            "numerics": numerics(self.quantities, self.posterior.chains),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for each factor."""
        summary = self.summary(probability)
        rows = {name: {"cheapest growth": label} | cells(summary[name], probability) for name, label in LABELS.items()}
        if self.if_law_holds is not None:
            alone = self.if_law_holds.summary(probability)
            rows = {name: row | if_law_holds(alone[name]) for name, row in rows.items()}
        return list(rows.values())


@dataclass(frozen=True, repr=False)
class Frontier(Decision):
    """Growths at equal loss, one for every size."""

    expansion: Expansion  # the cheapest of them
    params_factor: Floats  # (size,)
    tokens_factor: Floats  # (draw, size) on the tokens of all languages; infinite if no amount of data keeps the loss
    compute_factor: Floats  # (draw, size)
    notes: list[str]

    @property
    def question(self) -> str:
        """The growth in one line."""
        return self.expansion.question

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the factors on tokens and compute; dims ``draw`` and ``size``, infinite if infeasible."""
        meaning, unit = UNITS["params_factor"]
        return dataset(
            {name: (("draw", "size"), getattr(self, name)) for name in ALONG},
            {"size": ("size", self.params_factor, {"long_name": meaning, "units": unit})},
            UNITS,
        )

    @property
    def infeasible(self) -> Floats:
        """``(size,)`` probability that no amount of data keeps the loss at that size."""
        return np.isinf(self.tokens_factor).mean(axis=0)

    @property
    def too_small(self) -> float | None:
        """The largest size that is infeasible in half of the draws; None if there is none."""
        sizes = self.params_factor[self.infeasible >= 0.5]
        return float(sizes.max()) if sizes.size else None

    def band(self, quantity: str = "tokens_factor", probability: float = 0.9) -> NDArray[np.float64]:
        """Return lower end, median and upper end ``(3, size)`` of ``tokens_factor`` or ``compute_factor``."""
        ends = levels(probability)
        return np.quantile(getattr(self, quantity), ends, axis=0, method="inverted_cdf")

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """Return the factors on tokens and compute by size; None stands for infinite."""
        rows: list[dict[str, Any]] = []
        bands = {name: self.band(name, probability) for name in ALONG}
        for index, (size, share) in enumerate(zip(self.params_factor, self.infeasible, strict=True)):
            row: dict[str, Any] = {"params_factor": float(size), "infeasible": float(share)}
            for name, band in bands.items():
                lower, median, upper = (float(v) if np.isfinite(v) else None for v in band[:, index])
                row[name] = {"median": median, "lower": lower, "upper": upper, "probability": probability}
            rows.append(row)
        return rows

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document of the cheapest growth and the frontier."""
        return self.expansion.to_dict(probability) | {"frontier": self.summary(probability), "notes": self.notes}

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for each factor of the cheapest growth."""
        return self.expansion.rows(probability)


def expand(
    posterior: Posterior,
    *,
    factor: float,
    language: str | None = None,
    params: float | None = None,
    tokens: float | None = None,
    languages: float | None = None,
    law_error: str = LEARNED,
) -> Expansion:
    """Find the cheapest growth to `factor` times as many languages at equal loss.

    Args:
        posterior: a posterior of the law ``capacity``.
        factor: r, the factor on the number of languages.
        language: the language whose loss stays equal. If it is None and the posterior has several, a typical language
            is used: the mean of their exponents and of their shares of reducible loss due to size.
        params, tokens, languages: the run to grow from, with the tokens of all languages together; by default a
            compute-optimal run. If the law errs, this is one at the centre of the fitted runs.
        law_error: ``learned`` or ``none``; see `decisions.objective.objective`.

    Raises:
        InputError: another law, an unknown language, or a number that is missing or not positive.
    """
    start = _start(params, tokens, languages)
    names = _languages(posterior, language)
    in_range("factor", factor, RATIOS, such_as="2")
    if law_error not in LAW_ERRORS:
        raise InputError(f"law_error is {law_error!r}; choose one of: {', '.join(LAW_ERRORS)}")
    alone = _expand(posterior, names, start, factor, None)
    error = LawError.of(posterior) if law_error == LEARNED else None
    return alone if error is None else replace(_expand(posterior, names, start, factor, error), if_law_holds=alone)


def _expand(
    posterior: Posterior, names: list[str], start: Start | None, factor: float, error: LawError | None
) -> Expansion:
    growth = _Growth(posterior, names, start, factor, error).cheapest()
    found = Expansion(
        posterior=posterior,
        language=", ".join(names),
        factor=factor,
        start=start,
        params_factor=growth.params,
        tokens_factor=growth.tokens,
        tokens_per_language_factor=growth.tokens_per_language,
        compute_factor=growth.compute,
        notes=_notes(posterior, names, growth, start, factor, error),
        law_error=NONE if error is None else LEARNED,
    )
    return replace(found, notes=[*found.notes, *numerics_notes(found.quantities, posterior.chains)])


def frontier(
    posterior: Posterior,
    *,
    factor: float,
    language: str | None = None,
    params: float | None = None,
    tokens: float | None = None,
    languages: float | None = None,
    params_factors: Floats = SIZE_FACTORS,
    law_error: str = LEARNED,
) -> Frontier:
    """Find the data that keep the loss with `factor` times as many languages, for every factor on size (Eq. 8).

    Args:
        params_factors: factors on size ``(size,)``; the other arguments are those of `expand`.

    Raises:
        InputError: as `expand`, or a factor on size is not positive.
    """
    run = {"params": params, "tokens": tokens, "languages": languages}
    cheapest = expand(posterior, factor=factor, language=language, law_error=law_error, **run)
    sizes = np.asarray(params_factors, dtype=float)
    for size in sizes.tolist():
        in_range("factor on size", size, RATIOS, such_as="2")
    error = LawError.of(posterior) if law_error == LEARNED else None
    names = _languages(posterior, language)
    per_language = _Growth(posterior, names, cheapest.start, factor, error).tokens(sizes)
    total = factor * np.where(np.isnan(per_language), np.inf, per_language)
    return Frontier(cheapest, sizes, total, total * sizes, cheapest.notes)


def _languages(posterior: Posterior, language: str | None) -> list[str]:
    if not hasattr(posterior.law, "expansion"):
        raise InputError(
            f"{posterior.name} fits the law {posterior.info.law!r}, which does not include the number of languages; "
            f"use a posterior of the law 'capacity', such as capacity-simulated"
        )
    return posterior.info.languages if language is None else [posterior.language(language)]


def _start(params: float | None, tokens: float | None, languages: float | None) -> Start | None:
    given = {"params": params, "tokens": tokens, "languages": languages}
    limits = {"params": SIZES, "tokens": SIZES, "languages": RATIOS}
    known = {
        name: in_range(name, value, limits[name], such_as="8") for name, value in given.items() if value is not None
    }
    if known and len(known) < len(given):
        missing = ", ".join(name for name in given if name not in known)
        raise InputError(f"the run to grow from lacks {missing}; give params, tokens and languages, or none of them")
    return Start(**known) if known else None


@dataclass(frozen=True)
class _Growth:
    """Growth of a typical one of some languages, for each draw.

    If exponents run, the law with constant exponents is used that has their means over the growth. Terms that are not
    additive keep the loss where their sum of powers does: all exponents are then multiplied by q.
    """

    posterior: Posterior
    names: list[str]
    start: Start | None
    factor: float
    error: LawError | None

    def cheapest(self) -> capacity.Expansion:
        """Return the cheapest growth."""
        weight, exponents = self._typical(0.0, 0.0)
        growth = capacity.cheapest_expansion(self.factor, weight, **exponents)
        for _ in range(0 if self.error is None else PASSES):
            weight, exponents = self._typical(np.log(growth.params), np.log(growth.tokens_per_language))
            growth = capacity.cheapest_expansion(self.factor, weight, **exponents)
        return growth

    def tokens(self, sizes: Floats) -> Floats:
        """Return the factor on tokens per language at each factor on size, ``(draw, size)``; NaN where none is."""

        def at(size: float) -> Floats:
            growth = np.zeros(1)
            for _ in range(1 if self.error is None else PASSES):
                weight, exponents = self._typical(np.log(size), np.nan_to_num(growth))
                found = capacity.tokens_at_equal_loss(self.factor, size, weight, **exponents)
                growth = np.log(np.clip(found, *FARTHEST))
            return np.asarray(found)

        return np.stack([at(float(size)) for size in sizes], axis=1)

    def _typical(self, grown_params: Any, grown_tokens: Any) -> tuple[Floats, dict[str, Floats]]:
        """Return the share of the start's reducible loss due to size, and exponents, as means over the languages.

        Args:
            grown_params, grown_tokens: log factors on size and on tokens per language, over which exponents are means.
        """
        weights, exponents = zip(*(self._own(name, grown_params, grown_tokens) for name in self.names), strict=True)
        means = {name: np.mean([each[name] for each in exponents], axis=0) for name in EXPONENTS}
        if self.start is None:  # a compute-optimal run of the typical language
            return means["beta"] / (means["alpha"] + means["beta"]), means
        return np.mean(weights, axis=0), means

    def _own(self, language: str, grown_params: Any, grown_tokens: Any) -> tuple[Any, dict[str, Floats]]:
        """Return the same of one language."""
        drawn = (self.error or self.posterior).parameters(language)
        reference, start = self.posterior.info.references[language], self.start
        if start is not None:
            run = {
                "params": start.params / reference["params"],
                "tokens": start.tokens / start.languages / reference["tokens"],
                "languages": start.languages,
            }
        if self.error is None:
            weight = None if start is None else capacity.size_weight(**run, **_only(drawn, ("A", "B", *EXPONENTS)))
            return weight, _only(drawn, EXPONENTS)
        bend = self.error.bend(language)
        if start is None:  # where the walks begin
            run = {name: np.exp(bend.origin(of)) for name, of in zip(AXES, ("alpha", "beta", "phi"), strict=True)}
        bent = bend.terms(capacity, run, drawn)
        weight, q = bent.parts["alpha"], bent.q
        grown = {"alpha": grown_params, "beta": grown_tokens}
        found = {}
        for name, axis in zip(EXPONENTS, ("params", "tokens", "languages", "languages"), strict=True):
            log_start = np.log(run[axis]) + bend.log_units[name]
            found[name] = q * bend.walks[name].mean(drawn[name], log_start, grown.get(name, np.log(self.factor)))
        return weight, found


def _only(drawn: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: drawn[name] for name in names}


def _notes(
    posterior: Posterior,
    names: list[str],
    growth: capacity.Expansion,
    start: Start | None,
    factor: float,
    error: LawError | None,
) -> list[str]:
    notes = posterior_notes(posterior)
    if start is None:
        most = {name: _range(posterior, name, "languages")[1] for name in names}
        if any(factor > own for own in most.values()):
            notes.append(
                f"{factor:g} times as many languages are more than any of its runs had ({max(most.values()):g})"
            )
        return notes
    params = float(np.median(growth.params)) * start.params
    tokens = float(np.median(growth.tokens)) * start.tokens
    languages = factor * start.languages
    plan = {
        "params": params,
        "tokens": tokens / languages,
        "compute": training_flops(params, tokens),
        "tokens_per_param": tokens / languages / params,
        "languages": languages,
    }
    outside = outside_of_any(posterior, dict.fromkeys(names, plan))
    if outside and error is None:
        outside = [*outside[:-1], f"{outside[-1]}; the intervals assume that the law holds there"]
    return notes + outside


def _range(posterior: Posterior, language: str, axis: str) -> tuple[float, float]:
    runs = posterior.info.runs
    return runs.ranges_by_language.get(language, runs.ranges).get(axis, (0.0, np.inf))
