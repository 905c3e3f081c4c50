"""The transfer map: sources ranked for each target, and both directions of a pair (Longpre et al. 2025, §4)."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import cells, number
from bayes_atlas.decisions.base import Decision, dataset
from bayes_atlas.decisions.monte_carlo import mean_errors
from bayes_atlas.decisions.summary import Summary, summarise
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

TOP = 5  # number of sources that the paper marks for each target
TRAITS = ("script", "genus", "family")
UNITS = {"score": ("transfer score of a source for a target; missing on the diagonal", "1")} | {
    trait: (f"effect of a common {trait} on a score, given the other traits", "1") for trait in TRAITS
}


class Errors(TypedDict):
    """Monte Carlo standard errors of what `Source` says of a source; None where draws are too few to tell."""

    probability_helps: float | None
    probability_top: float | None
    rank: float | None


class Source(TypedDict):
    """One source of a target, as in the JSON document."""

    source: str
    score: Summary
    probability_helps: float  # that the score is above zero
    probability_top: float  # that the source is among the best `top`
    rank: float  # expected rank among the sources of the target; 1 is the best
    mcse: Errors


class Direction(TypedDict):
    """One direction of a pair."""

    source: str
    target: str
    score: Summary
    probability_helps: float
    probability_helps_mcse: float | None  # Monte Carlo standard error


class Compared(TypedDict):
    """Both directions of a pair, as in the JSON document."""

    forth: Direction
    back: Direction
    asymmetry: Summary
    probability_forth_exceeds_back: float
    probability_forth_exceeds_back_mcse: float | None


@dataclass(frozen=True, repr=False)
class TransferMap(Decision):
    """Draws of the score of every ordered pair; NaN on the diagonal."""

    posterior: Posterior
    languages: list[str]
    score: Floats  # (draw, target, source)
    notes: list[str]

    @property
    def question(self) -> str:
        """The map in one line."""
        return f"{self.posterior.name}: transfer between {len(self.languages)} languages"

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the scores; dims ``draw``, ``target``, ``source``; and draws of the effects of common traits."""
        score = {"score": (("draw", "target", "source"), self.score)}
        drawn = self.posterior.drawn(*TRAITS)
        traits: dict[str, tuple[tuple[str, ...], Floats]] = {name: (("draw",), drawn[name]) for name in TRAITS}
        return dataset(score | traits, {"target": self.languages, "source": self.languages}, UNITS)

    def summary(self, probability: float = 0.9, *, top: int = TOP) -> dict[str, list[Source]]:
        """Return target -> its sources, by descending mean score."""
        _check_top(top)
        return {target: self._ranked(at, top, probability) for at, target in enumerate(self.languages)}

    def to_dict(self, probability: float = 0.9, *, top: int = TOP) -> dict[str, Any]:
        """Return the JSON document: sources of every target, and effects of common traits."""
        return {
            "posterior": self.posterior.name,
            "top": top,
            "targets": self.summary(probability, top=top),
            "effects": self.effects(probability),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return the best source for each target."""
        best = {target: sources[0] for target, sources in self.summary(probability).items()}
        return [
            {"target": target, "best source": each["source"]}
            | cells(each["score"], probability)
            | {"P(helps)": number(each["probability_helps"], 3)}
            for target, each in best.items()
        ]

    def answer(
        self, *, target: str | None = None, pair: tuple[str, str] | None = None, top: int = TOP
    ) -> "TransferAnswer":
        """Answer a question about a target or a pair; every answer includes the effects of common traits.

        Args:
            target: the language whose sources are ranked.
            pair: source and target whose two directions are compared.
            top: number of sources that count as the best.

        Raises:
            InputError: an unknown language, the same one twice in the pair, or `top` below 1.
        """
        if target is not None:
            self.place(target)
            _check_top(top)
        return TransferAnswer(self, target, None if pair is None else self.pair(*pair), top, self.notes)

    def place(self, language: str) -> int:
        """Return the index of a language.

        Raises:
            InputError: the language is not in the map; the message lists the valid names.
        """
        if language not in self.languages:
            raise InputError(
                f"{self.posterior.name} has no language {language!r}; choose one of: {', '.join(self.languages)}"
            )
        return self.languages.index(language)

    def top_probability(self, top: int = TOP) -> Floats:
        """Return the probability that a source is among the `top` best of its target, ``(target, source)``.

        Raises:
            InputError: `top` is below 1.
        """
        _check_top(top)
        return np.asarray((self.rank <= top).mean(axis=0))

    @cached_property
    def rank(self) -> Floats:
        """Rank of every source among those of its target, ``(draw, target, source)``; 1 is the best, NaN the target."""
        rank = (-self.score).argsort(axis=-1).argsort(axis=-1) + 1.0  # NaN is sorted last
        return np.where(np.isnan(self.score), np.nan, rank)

    def sources(self, target: str, *, top: int = TOP, probability: float = 0.9) -> list[Source]:
        """Return the sources of a target, by descending mean score.

        Raises:
            InputError: an unknown language, or `top` or `probability` out of range.
        """
        _check_top(top)
        return self._ranked(self.place(target), top, probability)

    def _ranked(self, at: int, top: int, probability: float) -> list[Source]:
        chains = self.posterior.chains
        others = [index for index in range(len(self.languages)) if index != at]
        score, rank = (values[:, at, others] for values in (self.score, self.rank))
        shown: dict[str, Any] = {"probability_helps": score > 0, "probability_top": rank <= top, "rank": rank}
        means = {name: values.mean(axis=0).tolist() for name, values in shown.items()}
        errors = {name: mean_errors(values, chains) for name, values in shown.items()}
        found = [
            Source(
                source=self.languages[index],
                score=summarise(score[:, column], probability, chains=chains),
                probability_helps=means["probability_helps"][column],
                probability_top=means["probability_top"][column],
                rank=means["rank"][column],
                mcse={
                    "probability_helps": errors["probability_helps"][column],
                    "probability_top": errors["probability_top"][column],
                    "rank": errors["rank"][column],
                },
            )
            for column, index in enumerate(others)
        ]
        return sorted(found, key=lambda each: -each["score"]["mean"])

    def pair(self, source: str, target: str) -> "Pair":
        """Return both directions of a pair.

        Raises:
            InputError: an unknown language, or the same one twice.
        """
        first, second = self.place(source), self.place(target)
        if first == second:
            raise InputError(f"the pair is {source} with itself; name two languages")
        forth, back = self.score[:, second, first], self.score[:, first, second]
        return Pair(source, target, forth, back, self.posterior.chains)

    def effects(self, probability: float = 0.9) -> dict[str, Summary]:
        """Return the effect of a common script, genus and family on a score, each given the other two."""
        drawn = self.posterior.drawn(*TRAITS)
        return {name: summarise(drawn[name], probability, chains=self.posterior.chains) for name in TRAITS}

    def probability_adds(self, trait: str) -> float:
        """Return the probability that a common `trait` (of `TRAITS`) raises a score, given the other two."""
        return float((self.posterior.drawn(trait)[trait] > 0).mean())

    def order(self) -> list[int]:
        """Return the languages ordered by mutual transfer: leaves of average linkage."""
        from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
        from scipy.spatial.distance import squareform

        mean = self.score.mean(axis=0)
        centred = mean - np.nanmean(mean, axis=1, keepdims=True)
        both = np.nan_to_num(centred + centred.T) / 2
        apart = both.max() - both
        np.fill_diagonal(apart, 0.0)
        condensed = squareform(apart, checks=False)
        leaves = leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
        return [int(leaf) for leaf in leaves]


def _check_top(top: int) -> None:
    if top < 1:
        raise InputError(f"top is {top}; it must be at least 1, such as {TOP}")


@dataclass(frozen=True)
class Pair:
    """Draws of both directions of a pair."""

    source: str
    target: str
    forth: Floats  # (draw,) score of the source for the target
    back: Floats  # (draw,) score of the reverse direction
    chains: int = 1  # whose draws lie one after the other

    def to_dict(self, probability: float = 0.9) -> Compared:
        """Return both directions and their difference, as in the JSON document."""
        return {
            "forth": _direction(self.source, self.target, self.forth, probability, self.chains),
            "back": _direction(self.target, self.source, self.back, probability, self.chains),
            "asymmetry": summarise(self.forth - self.back, probability, chains=self.chains),
            "probability_forth_exceeds_back": float((self.forth > self.back).mean()),
            "probability_forth_exceeds_back_mcse": mean_errors(self.forth > self.back, self.chains)[0],
        }


def _direction(source: str, target: str, draws: Floats, probability: float, chains: int) -> Direction:
    return {
        "source": source,
        "target": target,
        "score": summarise(draws, probability, chains=chains),
        "probability_helps": float((draws > 0).mean()),
        "probability_helps_mcse": mean_errors(draws > 0, chains)[0],
    }


class Answered(TypedDict):
    """The answer in numbers, as in the JSON document."""

    sources: list[Source] | None
    pair: Compared | None
    effects: dict[str, Summary]


@dataclass(frozen=True, repr=False)
class TransferAnswer(Decision):
    """The answer to a question about a target or a pair, with the effects of common traits."""

    map: TransferMap
    target: str | None  # the language whose sources are ranked
    pair: Pair | None
    top: int  # number of sources that count as the best
    notes: list[str]

    @property
    def question(self) -> str:
        """The question in one line."""
        asked = [] if self.target is None else [f"sources for {self.target}"]
        asked += [] if self.pair is None else [f"{self.pair.source} and {self.pair.target}, both directions"]
        return f"{self.map.posterior.name}: {'; '.join(asked) or 'effects of common traits'}"

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the map that the answer uses: scores of the target and of the pair, and effects of common traits."""
        every = self.map.draws
        used = every[list(TRAITS)]
        if self.target is not None:
            used["score"] = every["score"].sel(target=self.target, drop=True).drop_sel(source=self.target)
        if self.pair is not None:
            used["forth"] = every["score"].sel(target=self.pair.target, source=self.pair.source, drop=True)
            used["back"] = every["score"].sel(target=self.pair.source, source=self.pair.target, drop=True)
        return used

    def summary(self, probability: float = 0.9) -> Answered:
        """Return sources of the target, both directions of the pair, and effects of common traits; None if unasked."""
        return {
            "sources": None
            if self.target is None
            else self.map.sources(self.target, top=self.top, probability=probability),
            "pair": None if self.pair is None else self.pair.to_dict(probability),
            "effects": self.map.effects(probability),
        }

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document of the answer."""
        asked = {"posterior": self.map.posterior.name, "target": self.target, "top": self.top}
        return asked | self.summary(probability) | {"notes": self.notes}

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return rows for the directions of the pair, the sources, and the effects of common traits."""
        found, pair = self.summary(probability), self.pair
        scores = [] if found["pair"] is None else [found["pair"]["forth"], found["pair"]["back"]]
        told: list[tuple[str, Summary, float]] = [
            (f"{each['source']} -> {each['target']}", each["score"], each["probability_helps"]) for each in scores
        ]
        if found["pair"] is not None and pair is not None:
            more = found["pair"]["probability_forth_exceeds_back"]
            told.append((f"{pair.source} -> {pair.target} minus the reverse", found["pair"]["asymmetry"], more))
        told += [
            (f"{name} in common", summary, self.map.probability_adds(name))
            for name, summary in found["effects"].items()
        ]
        told += [
            (f"{each['source']} -> {self.target}", each["score"], each["probability_helps"])
            for each in found["sources"] or []
        ]
        return [
            {"score": name} | cells(summary, probability) | {"P(above 0)": number(above, 3)}
            for name, summary, above in told
        ]


def transfer_map(posterior: Posterior) -> TransferMap:
    """Return the transfer map of a posterior of transfer scores.

    Raises:
        InputError: the posterior has no scores.
    """
    score = posterior.drawn("score")["score"]
    return TransferMap(posterior, posterior.info.languages, score, _notes(posterior))


def _notes(posterior: Posterior) -> list[str]:
    """Return caveats for the reader of the map."""
    failed = [check.name for check in posterior.failed_checks]
    notes = [f"sampling failed {', '.join(failed)}: see `bayes-atlas diagnose`"] if failed else []
    pairs = len(posterior.info.languages) * (len(posterior.info.languages) - 1)
    if missing := pairs - posterior.info.runs.rows:
        notes.append(f"{missing:,} of {pairs:,} pairs were not measured; their scores are imputed")
    return notes
