"""Which languages help which: sources ranked for a target, and both directions of a pair (Longpre et al. 2025, §4)."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.decisions.summary import Summary, summarise
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

TOP = 5  # sources that the paper marks for each target
TRAITS = ("script", "genus", "family")


class Source(TypedDict):
    """A source of a target; JSON as it is."""

    source: str
    score: Summary
    probability_helps: float  # that the score is above zero
    probability_top: float  # that it is among the best `top`


class Direction(TypedDict):
    """One direction of a pair."""

    source: str
    target: str
    score: Summary
    probability_helps: float


@dataclass(frozen=True)
class TransferMap:
    """Draws of the score of every ordered pair, NaN where a language meets itself."""

    posterior: Posterior
    languages: list[str]
    score: Floats  # (draw, target, source)

    def place(self, language: str) -> int:
        """Index of a language.

        Raises:
            InputError: it is not in the map; the message lists those that are.
        """
        if language not in self.languages:
            raise InputError(
                f"{self.posterior.name} has no language {language!r}; choose one of: {', '.join(self.languages)}"
            )
        return self.languages.index(language)

    def top_probability(self, top: int = TOP) -> Floats:
        """``(target, source)`` probability that a source is among the `top` best of its target.

        Raises:
            InputError: `top` is below 1.
        """
        if top < 1:
            raise InputError(f"top is {top}; it must be at least 1, such as {TOP}")
        filled = np.where(np.isnan(self.score), -np.inf, self.score)
        rank = (-filled).argsort(axis=-1).argsort(axis=-1)
        within = (rank < top) & np.isfinite(self.score)
        return within.mean(axis=0)

    def sources(self, target: str, *, top: int = TOP, probability: float = 0.9) -> list[Source]:
        """Sources of a target, the most helpful in the mean first.

        Raises:
            InputError: an unknown language, or `top` or `probability` out of range.
        """
        at = self.place(target)
        likely = self.top_probability(top)[at]
        found = [
            Source(
                source=name,
                score=summarise(self.score[:, at, index], probability),
                probability_helps=float((self.score[:, at, index] > 0).mean()),
                probability_top=float(likely[index]),
            )
            for index, name in enumerate(self.languages)
            if index != at
        ]
        return sorted(found, key=lambda each: -each["score"]["mean"])

    def pair(self, source: str, target: str, probability: float = 0.9) -> "Pair":
        """Both directions of a pair.

        Raises:
            InputError: an unknown language, or the same one twice.
        """
        first, second = self.place(source), self.place(target)
        if first == second:
            raise InputError(f"the pair is {source} with itself; name two languages")
        forth, back = self.score[:, second, first], self.score[:, first, second]
        return Pair(source, target, forth, back, probability)

    def effects(self, probability: float = 0.9) -> dict[str, Summary]:
        """What a common script, genus and family each add to a score, given the other two."""
        drawn = self.posterior.drawn(*TRAITS)
        return {name: summarise(drawn[name], probability) for name in TRAITS}

    def probability_adds(self, trait: str) -> float:
        """Probability that a common `trait` (of `TRAITS`) adds to a score, given the other two."""
        return float((self.posterior.drawn(trait)[trait] > 0).mean())

    @property
    def notes(self) -> list[str]:
        """What a reader should know before trusting the map."""
        failed = [check.name for check in self.posterior.failed_checks]
        notes = [f"sampling failed {', '.join(failed)}: see `bayes-atlas diagnose`"] if failed else []
        pairs = len(self.languages) * (len(self.languages) - 1)
        if missing := pairs - self.posterior.info.runs.rows:
            notes.append(f"{missing:,} of {pairs:,} pairs were not measured; their scores are imputed")
        return notes

    def order(self) -> list[int]:
        """Languages such that those that help each other stand together: leaves of average linkage."""
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


@dataclass(frozen=True)
class Pair:
    """Draws of both directions of a pair."""

    source: str
    target: str
    forth: Floats  # (draw,) score of the source for the target
    back: Floats  # (draw,) and the reverse
    probability: float

    def to_dict(self) -> dict[str, object]:
        """Both directions and how they differ; JSON as it is."""
        return {
            "forth": self._direction(self.source, self.target, self.forth),
            "back": self._direction(self.target, self.source, self.back),
            "asymmetry": summarise(self.forth - self.back, self.probability),
            "probability_forth_exceeds_back": float((self.forth > self.back).mean()),
        }

    def _direction(self, source: str, target: str, draws: Floats) -> Direction:
        helps = float((draws > 0).mean())
        return Direction(
            source=source, target=target, score=summarise(draws, self.probability), probability_helps=helps
        )


def transfer_map(posterior: Posterior) -> TransferMap:
    """The map that a posterior of transfer scores draws.

    Raises:
        InputError: the posterior has no scores.
    """
    score = posterior.drawn("score")["score"]
    return TransferMap(posterior, posterior.info.languages, score)
