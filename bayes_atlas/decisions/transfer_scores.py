"""Transfer scores from a bilingual study, for each draw of its learning curves (Longpre et al. 2025, §4).

A score compares the tokens at which two curves reach one loss. Small errors of the loss are therefore large errors of
the score, and several artefacts look like transfer. Each score has its error, and notes list possible artefacts. If the
run with the partner does not reach the loss within its tokens, the score is censored: only an upper bound is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayes_atlas.arrays import Floats
from bayes_atlas.data.bilingual_design import Study, partner_shares
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import SIZES, Decision, dataset, in_range
from bayes_atlas.decisions.summary import levels
from bayes_atlas.errors import InputError
from bayes_atlas.laws import bilingual, transfer
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

SEEDS = 0.0014  # median sd of log loss over seeds, Muennighoff et al. 2023 (arXiv 2305.16264)
CENTRAL = (0.16, 0.5, 0.84)
FINISHED = 0.95  # share of a run's last tokens, at which its learning rate has decayed
RATE = 2.0  # ratio of learning rates; beyond it two checkpoints are at different stages
FAILED = 0.02  # log loss of the last checkpoint above the run's best
STEEP = 0.25  # fall of log loss per log token at the anchor; beyond it training has hardly begun
LISTED = 5  # largest number of pairs or runs named in a note
UNITS = {"score": ("transfer score; minus infinity if the loss is never reached", "1")}


@dataclass(frozen=True)
class PairScore:
    """Transfer score of a source for a target at an anchor."""

    source: str
    target: str
    anchor: float  # tokens of the target alone
    draws: Floats  # (draw,) minus infinity if the loss is never reached
    bound: float  # least score that the tokens of the run with the partner can show
    bound_error: float  # sd of a measured score at the bound

    @property
    def probability_reached(self) -> float:
        """Probability that the loss is reached within the tokens of the run with the partner."""
        return float((self.draws >= self.bound).mean())

    @property
    def censored(self) -> bool:
        """True if only an upper bound of the score is known."""
        return self.probability_reached < 0.5

    @property
    def score(self) -> float:
        """The median of the draws; the bound if censored."""
        return self.bound if self.censored else float(np.median(self.draws))

    @property
    def error(self) -> float:
        """The sd of the score: half the width of the central .68, or the upper half if the lower end is censored."""
        if self.censored:
            return self.bound_error
        lower, median, upper = np.quantile(self.draws, CENTRAL, method="closest_observation")
        return float((upper - lower) / 2 if lower >= self.bound else upper - median)

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the score as in the JSON document. `lower` is None if it is below the bound."""
        ends = levels(probability)[::2]
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
    """Scores of all pairs in the study, at each anchor in turn."""

    posterior: Posterior
    params: float  # parameters of every compared run
    anchors: list[float]
    pairs: list[PairScore]
    left_out: Mapping[str, int]  # reason -> number of rows outside the study
    notes: list[str]
    saved: str | None = None  # path of the score table, if it was written

    @property
    def question(self) -> str:
        """The study in one line."""
        anchors = ", ".join(map(number, self.anchors))
        size = number(self.params)
        return f"{self.posterior.info.runs.name}: transfer scores at {size} parameters and {anchors} tokens"

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the scores; dims ``draw`` and ``pair``, with coordinates source, target and anchor of each pair."""
        score = np.column_stack([np.empty((self.posterior.count, 0)), *(pair.draws for pair in self.pairs)])
        names = {name: ("pair", [getattr(pair, name) for pair in self.pairs]) for name in ("source", "target")}
        about = {"long_name": "training tokens of the target alone", "units": "tokens"}
        anchor = ("pair", np.array([pair.anchor for pair in self.pairs], dtype=float), about)
        return dataset({"score": (("draw", "pair"), score)}, names | {"anchor": anchor}, UNITS)

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """Return every score with its error and interval."""
        return [pair.to_dict(probability) for pair in self.pairs]

    def at(self, anchor: float) -> list[PairScore]:
        """Return the scores at one of the anchors."""
        return [pair for pair in self.pairs if pair.anchor == anchor]

    def table(self) -> pd.DataFrame:
        """Return the score table for `bayes_atlas.data.transfer_scores.read_scores`.

        Raises:
            InputError: there are several anchors; a score table has one score per pair.
        """
        _check_one(self.anchors)
        columns = ("source", "target", "score", "error", "censored", "anchor")
        rows = [{name: pair.to_dict()[name] for name in columns} for pair in self.pairs]
        return pd.DataFrame(rows).astype({"censored": int})

    def save(self, path: str | Path) -> "BilingualScores":
        """Write the `table` as CSV, and return the scores with its path.

        Raises:
            InputError: as `table`, or `path` does not end in .csv.
            OSError: the file cannot be written.
        """
        check_table(path)
        self.table().to_csv(path, index=False)
        return replace(self, saved=str(path))

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document of all scores."""
        return {
            "params": self.params,
            "anchors": self.anchors,
            "left_out": dict(self.left_out),
            "table": self.saved,
            "scores": self.summary(probability),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for each pair and anchor."""
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
    """Raise an error if `path` is not a file name for a score table.

    Raises:
        InputError: `path` does not end in .csv.
    """
    if Path(path).suffix != ".csv":
        raise InputError(f"cannot write scores to {Path(path).name!r}; end its name in .csv")


def transfer_scores(
    posterior: Posterior, study: Study, anchors: Sequence[float], *, seeds: float = SEEDS, seed: int = 0
) -> BilingualScores:
    """Score all pairs at each of `anchors`.

    Args:
        posterior: a posterior of the model ``bilingual``, fitted to the runs of `study`.
        study: from `bayes_atlas.data.bilingual_design.bilingual_study`.
        anchors: tokens of a target trained alone. The score compares the run with the partner at that loss.
        seeds: sd of log loss between runs that differ only in their seed; a single run of each does not identify it.
        seed: seed of the draws of this noise.

    Raises:
        InputError: a posterior of another law or other runs; anchors as in `check_anchors`; a negative `seeds`.
    """
    if posterior.info.law != "bilingual":
        raise InputError(
            f"{posterior.name} fits the law {posterior.info.law!r}; give a posterior of the model bilingual"
        )
    if posterior.info.runs.sha256 != study.runs.attrs["sha256"]:
        raise InputError(
            f"{posterior.name} was fitted to {posterior.info.runs.name}; give these runs, or fit this table"
        )
    if not (np.isfinite(seeds) and seeds >= 0):
        raise InputError(f"seeds is {seeds}; it must be at least 0, such as {SEEDS}")
    check_anchors(study.runs, anchors)
    curves = _Curves.of(posterior, study.runs)
    found = [score for anchor in anchors for score in curves.scores(anchor, seeds, np.random.default_rng(seed))]
    notes = _notes(curves, found, anchors)
    return BilingualScores(posterior, study.params, list(anchors), found, study.left_out, notes)


def check_anchors(runs: "xr.Dataset", anchors: Sequence[float], *, one: bool = False) -> None:
    """Raise an error for anchors that no monolingual run of the study reaches.

    With `one`, several anchors are an error too, as in `table`.

    Raises:
        InputError: an anchor is out of range, none is given, or there are too many.
    """
    if not anchors:
        raise InputError("there is no anchor; give tokens of a target trained alone, such as 42e9")
    longest = float(runs["tokens"].to_numpy()[partner_shares(runs)[1]].max())
    for anchor in anchors:
        if in_range("anchor", anchor, SIZES, such_as="42e9") > longest:
            raise InputError(
                f"anchor is {anchor:.3g}, but no monolingual run has more than {longest:.3g} tokens; lower the anchor"
            )
    if one:
        _check_one(anchors)


def _check_one(anchors: Sequence[float]) -> None:
    if len(anchors) > 1:
        listed = ", ".join(f"{anchor:.3g}" for anchor in anchors)
        raise InputError(f"there are scores at {listed} tokens, and a score table has one per pair; give one anchor")


@dataclass(frozen=True)
class _Curves:
    """Runs by target and partner, and their fitted curves."""

    posterior: Posterior
    checkpoints: dict[tuple[str, str], pd.DataFrame]  # (target, partner or "") -> run, tokens, loss, done, rate

    @classmethod
    def of(cls, posterior: Posterior, runs: "xr.Dataset") -> "_Curves":
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
        """Return targets and partners with both runs."""
        return [(target, other) for target, other in self.checkpoints if other and (target, "") in self.checkpoints]

    def scores(self, anchor: float, seeds: float, rng: np.random.Generator) -> list[PairScore]:
        """Score the pairs whose monolingual run reaches `anchor`."""
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
        """Return the target's own tokens at the last checkpoint."""
        return float(self.checkpoints[target, other]["tokens"].max())

    def curve(self, target: str, other: str = "") -> dict[str, Floats]:
        """Return draws of the law's parameters, in the units of the reference."""
        drawn = self.posterior.parameters(target)
        if not other:
            return {name: drawn[name] for name in ("E", "B", "beta")}
        slot = self.posterior.info.sources[target].index(other)
        return {name: values if values.ndim == 1 else values[:, slot] for name, values in drawn.items()}

    def nearest(self, target: str, other: str, tokens: float) -> "pd.Series[Any]":
        """Return the checkpoint closest to `tokens` of the target."""
        rows = self.checkpoints[target, other]
        return rows.iloc[int(np.abs(np.log(rows["tokens"] / tokens)).to_numpy().argmin())]

    def out_of_step(self, score: PairScore) -> bool:
        """True if the two compared checkpoints are at different stages of the learning rate.

        The column ``learning_rate`` decides. Without it, the two differ if only one of them is at the end of its run.
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
        """True if the target's loss still falls fast at the anchor."""
        alone = {name: float(values.mean()) for name, values in self.curve(score.target).items()}
        tokens = score.anchor / self.posterior.info.references[score.target]["tokens"]
        reducible = bilingual.loss(tokens, **alone) - alone["E"]
        return alone["beta"] * reducible / (reducible + alone["E"]) > STEEP

    def failed(self) -> list[str]:
        """Return runs whose last loss is well above their best loss."""
        rows = pd.concat(self.checkpoints.values())
        rows["best"] = rows.groupby(["run", "language"])["loss"].transform("min")
        worse = (rows["done"] == 1) & (np.log(rows["loss"] / rows["best"]) > FAILED)
        return sorted(set(rows.loc[worse, "run"].tolist()))

    def repeated(self) -> list[str]:
        """Return targets whose runs repeat data."""
        rows = pd.concat(self.checkpoints.values())
        return sorted(rows.loc[rows["tokens"] > rows["unique"], "language"].unique().tolist())


def _notes(curves: _Curves, found: Sequence[PairScore], anchors: Sequence[float]) -> list[str]:
    """Return caveats for the reader of the scores."""
    failed = [check.name for check in curves.posterior.failed_checks]
    notes = [f"sampling failed {', '.join(failed)}: the errors of the scores may be wrong"] if failed else []
    short = sorted({target for target, _ in curves.pairs if curves.last(target) < max(anchors)})
    told: list[tuple[list[str], str]] = [
        (short, "have no monolingual run as long as the anchor, and no score there"),
        (curves.failed(), "end well above their best loss and look failed: their scores are not reliable"),
        (curves.repeated(), "repeat data, and the score includes the effect of repetition"),
        (_named(found, lambda score: score.censored), "never reach the loss in their tokens: only a bound is known"),
        (_named(found, curves.out_of_step), "compare checkpoints at different learning rates, which mimics transfer"),
        (_named(found, curves.steep), "are compared where training has hardly begun, and may change later"),
    ]
    return notes + [f"{_listed(names)} {what}" for names, what in told if names]


def _named(found: Sequence[PairScore], which: Callable[[PairScore], bool]) -> list[str]:
    return list(dict.fromkeys(f"{score.source}->{score.target}" for score in found if which(score)))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
