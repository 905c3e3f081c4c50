"""Transfer scores measured by a bilingual study, per draw of its learning curves (Longpre et al. 2025, §4).

A score compares where two curves reach one loss, so small errors of the loss become large ones of the score, and much
that is no transfer looks like it. Each score carries its error, and what may have faked it is said. Where the run with
the partner does not reach the loss within its tokens, all that is known is that the score lies below a bound.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.data.bilingual_design import Study, partner_shares
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import Decision, dataset, positive
from bayes_atlas.errors import InputError
from bayes_atlas.laws import bilingual, transfer
from bayes_atlas.posterior import Posterior

SEEDS = 0.0014  # median sd of log loss over seeds, Muennighoff et al. 2023 (arXiv 2305.16264)
CENTRAL = (0.16, 0.5, 0.84)
FINISHED = 0.95  # of a run's last tokens, from which on its learning rate has decayed
RATE = 2.0  # ratio of learning rates from which on two checkpoints are at different stages
FAILED = 0.02  # log loss of the last checkpoint above the run's best
STEEP = 0.25  # fall of log loss per log of tokens at the anchor, from which on training has hardly begun
LISTED = 5  # pairs or runs that a note names
UNITS = {"score": ("transfer score; minus infinity where the loss is never reached", "1")}


@dataclass(frozen=True)
class PairScore:
    """Transfer from a source to a target at an anchor."""

    source: str
    target: str
    anchor: float  # tokens of the target alone
    draws: Floats  # (draw,) minus infinity where the loss is never reached
    bound: float  # least score that the tokens of the run with the partner could show
    bound_error: float  # sd of a score that is measured there

    @property
    def probability_reached(self) -> float:
        """Probability that the loss is reached within the tokens of the run with the partner."""
        return float((self.draws >= self.bound).mean())

    @property
    def censored(self) -> bool:
        """Whether the score is only known to lie below `bound`."""
        return self.probability_reached < 0.5

    @property
    def score(self) -> float:
        """Median of the draws; the bound where censored."""
        return self.bound if self.censored else float(np.median(self.draws))

    @property
    def error(self) -> float:
        """Standard deviation of the score's error, half of what holds the central .68; draws beyond the bound aside."""
        if self.censored:
            return self.bound_error
        lower, median, upper = np.quantile(self.draws, CENTRAL, method="closest_observation")
        return float((upper - lower) / 2 if lower >= self.bound else upper - median)

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """The score; JSON as it is. `lower` is None where it lies beyond what the tokens could show."""
        ends = [(1 - probability) / 2, (1 + probability) / 2]
        lower, upper = np.quantile(self.draws, ends, method="closest_observation")
        return {
            "source": self.source,
            "target": self.target,
            "anchor": self.anchor,
            "score": self.score,
            "error": self.error,
            "censored": self.censored,
            "lower": float(lower) if lower >= self.bound else None,
            "upper": float(upper) if np.isfinite(upper) else self.bound,
            "probability": probability,
            "probability_reached": self.probability_reached,
        }


@dataclass(frozen=True, repr=False)
class BilingualScores(Decision):
    """Scores of all pairs that were run, at each anchor in turn."""

    posterior: Posterior
    params: float  # parameters of every run that was compared
    anchors: list[float]
    pairs: list[PairScore]
    left_out: Mapping[str, int]  # reason -> number of rows that are no part of the study
    notes: list[str]
    saved: str | None = None  # path of the score table, where it was written

    @property
    def question(self) -> str:
        """The study in one line."""
        anchors = ", ".join(map(number, self.anchors))
        size = number(self.params)
        return f"{self.posterior.info.runs.name}: transfer scores at {size} parameters and {anchors} tokens"

    @property
    def draws(self) -> xr.Dataset:
        """Draws of the scores; dims ``draw`` and ``pair``, of which source, target and anchor are coordinates."""
        count = self.posterior.draws["posterior"].sizes
        empty = np.empty((count["chain"] * count["draw"], 0))
        score = np.column_stack([empty, *(pair.draws for pair in self.pairs)])
        names = {name: ("pair", [getattr(pair, name) for pair in self.pairs]) for name in ("source", "target")}
        about = {"long_name": "training tokens of the target alone", "units": "tokens"}
        anchor = ("pair", np.array([pair.anchor for pair in self.pairs], dtype=float), about)
        return dataset({"score": (("draw", "pair"), score)}, names | {"anchor": anchor}, UNITS)

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """Every score with its error and its interval."""
        return [pair.to_dict(probability) for pair in self.pairs]

    def at(self, anchor: float) -> list[PairScore]:
        """Scores at one of the anchors."""
        return [pair for pair in self.pairs if pair.anchor == anchor]

    def table(self) -> pd.DataFrame:
        """The score table that `bayes_atlas.data.transfer_scores.read_scores` reads.

        Raises:
            InputError: there are several anchors; a score table has one score of a pair.
        """
        _check_one(self.anchors)
        columns = ("source", "target", "score", "error", "censored", "anchor")
        rows = [{name: pair.to_dict()[name] for name in columns} for pair in self.pairs]
        return pd.DataFrame(rows).astype({"censored": int})

    def save(self, path: str | Path) -> "BilingualScores":
        """Write the `table` as CSV, and return the scores with its place.

        Raises:
            InputError: as `table`, or `path` does not end in .csv.
            OSError: it cannot be written.
        """
        check_table(path)
        self.table().to_csv(path, index=False)
        return replace(self, saved=str(path))

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """All scores; JSON as it is."""
        return {
            "params": self.params,
            "anchors": self.anchors,
            "left_out": dict(self.left_out),
            "table": self.saved,
            "scores": self.summary(probability),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """A row for each pair and anchor."""
        return [_row(pair, probability) for pair in self.pairs]


def _row(pair: PairScore, probability: float) -> dict[str, str]:
    values = pair.to_dict(probability)
    lower, upper = ("none" if values[end] is None else number(values[end], 3) for end in ("lower", "upper"))
    return {
        "source -> target": f"{pair.source} -> {pair.target}",
        "tokens": number(pair.anchor),
        "score": f"below {number(pair.bound, 3)}" if pair.censored else number(pair.score, 3),
        "error": number(pair.error, 2),
        interval(probability): f"{lower} to {upper}",
        "P(reached)": number(pair.probability_reached, 3),
    }


def check_table(path: str | Path) -> None:
    """Refuse a path whose name is not that of a score table.

    Raises:
        InputError: it does not end in .csv.
    """
    if Path(path).suffix != ".csv":
        raise InputError(f"cannot write scores to {Path(path).name!r}; end its name in .csv")


def transfer_scores(
    posterior: Posterior, study: Study, anchors: Sequence[float], *, seeds: float = SEEDS, seed: int = 0
) -> BilingualScores:
    """Scores of all pairs at each of `anchors`.

    Args:
        posterior: of the model ``bilingual``, fitted to the runs of `study`.
        study: from `bayes_atlas.data.bilingual_design.bilingual_study`.
        anchors: tokens of a target alone, to whose loss the run with the partner is compared.
        seeds: sd of log loss between runs that differ in their seed alone, which one run of each cannot show.
        seed: of the draws of these.

    Raises:
        InputError: a posterior of another law or other runs; anchors as `check_anchors`; a negative `seeds`.
    """
    if posterior.info.law != "bilingual":
        raise InputError(
            f"{posterior.name} fits the law {posterior.info.law!r}; give a posterior of the model bilingual"
        )
    if posterior.info.runs.sha256 != study.runs.attrs["sha256"]:
        raise InputError(f"{posterior.name} was fitted to {posterior.info.runs.name}; give these runs, or fit again")
    if not (np.isfinite(seeds) and seeds >= 0):
        raise InputError(f"seeds is {seeds}; it must be at least 0, such as {SEEDS}")
    check_anchors(study.runs, anchors)
    curves = _Curves.of(posterior, study.runs)
    found = [score for anchor in anchors for score in curves.scores(anchor, seeds, np.random.default_rng(seed))]
    notes = _notes(curves, found, anchors)
    return BilingualScores(posterior, study.params, list(anchors), found, study.left_out, notes)


def check_anchors(runs: xr.Dataset, anchors: Sequence[float], *, one: bool = False) -> None:
    """Refuse anchors that no run alone of a bilingual study reaches; with `one`, also several, as `table` does.

    Raises:
        InputError: an anchor is out of range, none is given or there are too many.
    """
    if not anchors:
        raise InputError("there is no anchor; give tokens of a target alone, such as 42e9")
    longest = float(runs["tokens"].to_numpy()[partner_shares(runs)[1]].max())
    for anchor in anchors:
        if positive("anchor", anchor, such_as="42e9") > longest:
            raise InputError(f"anchor is {anchor:.3g}, but no run alone has more than {longest:.3g} tokens; lower it")
    if one:
        _check_one(anchors)


def _check_one(anchors: Sequence[float]) -> None:
    if len(anchors) > 1:
        listed = ", ".join(f"{anchor:.3g}" for anchor in anchors)
        raise InputError(f"there are scores at {listed} tokens, and a score table holds one of a pair; give one anchor")


@dataclass(frozen=True)
class _Curves:
    """Runs by target and partner, and the curves fitted to them."""

    posterior: Posterior
    checkpoints: dict[tuple[str, str], pd.DataFrame]  # (target, partner or "") -> run, tokens, loss, done, rate

    @classmethod
    def of(cls, posterior: Posterior, runs: xr.Dataset) -> "_Curves":
        others = partner_shares(runs)[0]
        partner = np.where(others.any(axis=1), runs["source"].to_numpy()[others.argmax(axis=1)], "")
        frame = pd.DataFrame({name: runs[name].to_numpy() for name in ("run", "language", "tokens", "unique", "loss")})
        frame["partner"] = partner
        frame["done"] = frame["tokens"] / frame.groupby(["run", "language"])["tokens"].transform("max")
        has_rate = "learning_rate" in runs and runs["learning_rate"].dtype.kind == "f"
        frame["rate"] = runs["learning_rate"].to_numpy() if has_rate else np.nan
        groups = frame.groupby(["language", "partner"], sort=False)
        return cls(posterior, {(str(target), str(other)): rows for (target, other), rows in groups})

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Targets and partners with both runs."""
        return [(target, other) for target, other in self.checkpoints if other and (target, "") in self.checkpoints]

    def scores(self, anchor: float, seeds: float, rng: np.random.Generator) -> list[PairScore]:
        """Scores of the pairs whose target was trained alone as far as `anchor`."""
        names = self.posterior.info.languages
        luck = {key: seeds / np.sqrt(rows["run"].nunique()) for key, rows in self.checkpoints.items()}
        draws = len(self.curve(names[0])["E"])
        drawn = {key: sd * rng.normal(size=draws) for key, sd in luck.items()}
        return [
            self._score(target, other, anchor, drawn[target, ""] - drawn[target, other])
            for target, other in self.pairs
            if self.last(target) >= anchor
        ]

    def _score(self, target: str, other: str, anchor: float, luck: Floats) -> PairScore:
        unit = self.posterior.info.references[target]["tokens"]
        alone, both = self.curve(target), self.curve(target, other)
        last = self.last(target, other)
        draws = bilingual.score(anchor / unit, **both, luck=luck)
        equal = bilingual.tokens_to(bilingual.loss(last / unit, **both) * np.exp(luck), **alone)
        lower, _, upper = np.quantile(np.log(np.minimum(equal, 1e6)), CENTRAL)
        bound = transfer.bts(2 * last, anchor)
        return PairScore(other, target, anchor, draws, bound, float(2 * last / anchor * (upper - lower) / 2))

    def last(self, target: str, other: str = "") -> float:
        """The target's own tokens at the last checkpoint."""
        return float(self.checkpoints[target, other]["tokens"].max())

    def curve(self, target: str, other: str = "") -> dict[str, Floats]:
        """Draws of the law's parameters, in the reference's unit."""
        drawn = self.posterior.parameters(target)
        if not other:
            return {name: drawn[name] for name in ("E", "B", "beta")}
        slot = self.posterior.info.sources[target].index(other)
        return {name: values if values.ndim == 1 else values[:, slot] for name, values in drawn.items()}

    def nearest(self, target: str, other: str, tokens: float) -> "pd.Series[Any]":
        """The checkpoint closest to `tokens` of the target's own."""
        rows = self.checkpoints[target, other]
        return rows.iloc[int(np.abs(np.log(rows["tokens"] / tokens)).to_numpy().argmin())]

    def out_of_step(self, score: PairScore) -> bool:
        """Whether the two checkpoints that are compared are at different stages of the learning rate.

        By the column ``learning_rate`` where the table has it, else by whether a run was finished.
        """
        if score.censored:
            return False
        own = (2 - score.score) * score.anchor / 2
        one, two = self.nearest(score.target, "", score.anchor), self.nearest(score.target, score.source, own)
        if np.isfinite([one["rate"], two["rate"]]).all():
            rates = np.array([one["rate"], two["rate"]], dtype=float)
            return bool(rates.max() > RATE * rates.min())
        return bool((one["done"] >= FINISHED) != (two["done"] >= FINISHED))

    def steep(self, score: PairScore) -> bool:
        """Whether the target's loss still falls fast at the anchor."""
        alone = {name: float(values.mean()) for name, values in self.curve(score.target).items()}
        tokens = score.anchor / self.posterior.info.references[score.target]["tokens"]
        reducible = bilingual.loss(tokens, **alone) - alone["E"]
        return alone["beta"] * reducible / (reducible + alone["E"]) > STEEP

    def failed(self) -> list[str]:
        """Runs that end well above the best that they have been."""
        rows = pd.concat(self.checkpoints.values())
        rows["best"] = rows.groupby(["run", "language"])["loss"].transform("min")
        worse = (rows["done"] == 1) & (np.log(rows["loss"] / rows["best"]) > FAILED)
        return sorted(set(rows.loc[worse, "run"].tolist()))

    def repeated(self) -> list[str]:
        """Targets whose runs repeat their data."""
        rows = pd.concat(self.checkpoints.values())
        return sorted(rows.loc[rows["tokens"] > rows["unique"], "language"].unique().tolist())


def _notes(curves: _Curves, found: Sequence[PairScore], anchors: Sequence[float]) -> list[str]:
    """What a reader should know before trusting the scores."""
    failed = [check.name for check in curves.posterior.failed_checks]
    notes = [f"sampling failed {', '.join(failed)}: the scores' errors may be wrong"] if failed else []
    short = sorted({target for target, _ in curves.pairs if curves.last(target) < max(anchors)})
    told: list[tuple[list[str], str]] = [
        (short, "have no run alone as long as the anchor, and no score there"),
        (curves.failed(), "end well above the best loss that they had, and look failed: their scores mean little"),
        (curves.repeated(), "repeat data, whose wear is then part of the score"),
        (_named(found, lambda score: score.censored), "never reach the loss in their tokens: only a bound is known"),
        (_named(found, curves.out_of_step), "compare checkpoints at different learning rates, which fakes transfer"),
        (_named(found, curves.steep), "are compared where training has hardly begun, and may change as it goes on"),
    ]
    return notes + [f"{_listed(names)} {what}" for names, what in told if names]


def _named(found: Sequence[PairScore], which: Callable[[PairScore], bool]) -> list[str]:
    return list(dict.fromkeys(f"{score.source}->{score.target}" for score in found if which(score)))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
