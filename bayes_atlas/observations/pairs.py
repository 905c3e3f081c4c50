"""The score table in the form that a model takes: dyads.

A dyad is an unordered pair of languages with a score in each direction. The two scores of a dyad may be correlated.
Given the languages' effects as source and as target, dyads are independent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayes_atlas.arrays import Array
from bayes_atlas.data.selection import Selection
from bayes_atlas.data.transfer_scores import TRAITS, read_scores
from bayes_atlas.folder.info import Staleness
from bayes_atlas.observations.kind import NO_CURVES, Covariates, Dims, Unpadded, no_selection


class Pairs(NamedTuple):
    """Layout of the dyads. A JAX pytree. Direction 1 of a dyad swaps the source and the target of direction 0."""

    target: Array  # (dyad, 2) index of the target language, which receives transfer
    observed: Array  # (dyad, 2) True if the score was measured
    error: Array | None  # (dyad, 2) standard deviation of the measurement error; None if the table states none
    common: Array  # (dyad, trait) 1 if the two languages share the trait, else 0; traits as in `TRAITS`
    distances: Array | None  # (dyad, 2, distance) in standard deviations
    belongs: Array  # (target,) 0 for each language; its length is their number
    centre: Array  # mean of the measured scores
    unit: Array  # standard deviation of the measured scores
    censored: Array | None = None  # (dyad, 2) True if the score is only an upper bound; None if none is

    @property
    def languages(self) -> int:
        """Number of languages."""
        return self.belongs.shape[0]

    @property
    def source(self) -> Array:
        """Index of the source language, which gives transfer, ``(dyad, 2)``."""
        return self.target[:, ::-1]

    def by_target(self, values: jax.Array) -> jax.Array:
        """Give each direction its target's value: ``(language,)`` to ``(dyad, 2)``."""
        return self._spread(values, self.target)

    def by_source(self, values: jax.Array) -> jax.Array:
        """Give each direction its source's value."""
        return self._spread(values, self.source)

    def matrix(self, values: jax.Array) -> jax.Array:
        """Rearrange values ``(dyad, 2)`` to ``(target, source)``, with NaN on the diagonal."""
        empty = jnp.full((self.languages, self.languages), jnp.nan, values.dtype)
        return empty.at[self.target, self.source].set(values)

    def _spread(self, values: jax.Array, index: Array) -> jax.Array:
        # A product, because the gradient of a gather is a slow scatter-add.
        return jax.nn.one_hot(index, self.languages, dtype=values.dtype) @ values


@dataclass(frozen=True)
class PairData(Unpadded):
    """The `Observations` of a score table."""

    covariates: Covariates  # `pairs`
    score: np.ndarray  # (dyad, 2), 0 if not observed
    coords: dict[str, list[str]]  # target, source, dyad, distance
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def pairs(self) -> Pairs:
        """The layout."""
        pairs = self.covariates["pairs"]
        assert isinstance(pairs, Pairs)
        return pairs

    @property
    def languages(self) -> list[str]:
        """Names of the languages."""
        return self.coords["target"]

    @property
    def units(self) -> int:
        """Number of dyads."""
        return len(self.coords["dyad"])

    def padded(self, shape: None) -> tuple[Covariates, np.ndarray]:
        """Return covariates and scores without padding."""
        return self.covariates, self.score

    def probe(self) -> dict[str, Any]:
        """Return the fields of `Staleness` from which `made_up` makes a table like this one."""
        pairs = self.pairs
        given = {"stated": pairs.error is not None, "censored": pairs.censored is not None}
        layout = {"distances": len(self.coords["distance"])} | {name: int(there) for name, there in given.items()}
        return NO_CURVES | {"layout": layout}

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Return the groups of a stored posterior that describe single scores, and the dims of their variables."""
        pairs = self.pairs
        stored = {
            name: np.asarray(values)
            for name, values in pairs._asdict().items()
            if values is not None and name not in ("target", "observed")
        }
        groups = {
            "log_likelihood": {"measured": log_likelihood},
            "observed_data": {"measured_score": np.where(pairs.observed, self.score, np.nan)},
            "constant_data": {"target_index": np.asarray(pairs.target)} | stored,
        }
        dims = {name: ["dyad", "direction"] for name in ("measured_score", "target_index", "error", "censored")}
        more = {"common": ["dyad", "trait"], "distances": ["dyad", "direction", "distance"], "belongs": ["target"]}
        return groups, dims | more | {"measured": ["dyad"], "centre": [], "unit": []}

    @property
    def rows(self) -> int:
        """Number of measured scores."""
        return int(self.pairs.observed.sum())


def arrange_pairs(scores: xr.Dataset) -> PairData:
    """Arrange a score table, from `bayes_atlas.data.transfer_scores.read_scores`, for a model."""
    languages = scores["target"].to_numpy().tolist()
    first, second = np.triu_indices(len(languages), 1)
    target = np.stack([first, second], axis=1)
    source = target[:, ::-1]
    score = scores["score"].to_numpy()
    measured = score[np.isfinite(score)]
    censored = scores["censored"].to_numpy()[target, source]
    traits = [scores[trait].to_numpy() for trait in TRAITS]
    distances = np.moveaxis(scores["distances"].to_numpy()[:, target, source], 0, -1)
    pairs = Pairs(
        target=target.astype(np.int32),
        observed=np.isfinite(score[target, source]),
        error=_errors(scores["error"].to_numpy()[target, source]),
        common=np.stack([trait[first] == trait[second] for trait in traits], axis=-1).astype(float),
        distances=distances if distances.shape[-1] else None,
        belongs=np.zeros(len(languages)),
        centre=np.array(measured.mean()),
        unit=np.array(measured.std() or 1.0),
        censored=censored if censored.any() else None,
    )
    return PairData(
        covariates={"pairs": pairs},
        score=np.nan_to_num(score[target, source]),
        coords={
            "target": languages,
            "source": languages,
            "dyad": [f"{languages[i]}-{languages[j]}" for i, j in target],
            "distance": scores["distance"].to_numpy().astype(str).tolist(),
        },
    )


class ScoreTable:
    """The kind ``pairs``: a table of transfer scores, fitted as dyads."""

    name = "pairs"
    variable = "score"
    reader = "read_scores"
    in_table_units = True

    def read(self, path: Path, traits: Path | None = None) -> xr.Dataset:
        """Read a score table by `read_scores`."""
        return read_scores(path, traits)

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> PairData:
        """Arrange all scores as dyads."""
        no_selection(table, selection)
        return arrange_pairs(table)

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, np.ndarray]:
        """Return covariates and scores of a stored posterior."""
        score = observed["measured_score"].to_numpy()
        stored = {name: constant[name].to_numpy() if name in constant else None for name in Pairs._fields}
        stored |= {"target": constant["target_index"].to_numpy(), "observed": np.isfinite(score)}
        return {"pairs": Pairs(**stored)}, np.nan_to_num(score).astype(float)

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Make up dyads of `languages` languages and their scores, the same for every seed."""
        pairs, score = made_up_pairs(languages, **shape.layout)
        return {"pairs": pairs}, score


KIND = ScoreTable()


def made_up_pairs(languages: int, distances: int, stated: int, censored: int = 0) -> tuple[Pairs, np.ndarray]:
    """Make up dyads of `languages` languages and their scores, drawn at random with a fixed seed."""
    rng = np.random.default_rng(0)
    target = np.stack(np.triu_indices(languages, 1), axis=1)
    shape = target.shape
    pairs = Pairs(
        target=target.astype(np.int32),
        observed=rng.uniform(size=shape) < 0.8,
        error=np.full(shape, 0.1) if stated else None,
        common=(rng.uniform(size=(len(target), len(TRAITS))) < 0.4).astype(float),
        distances=rng.normal(size=(*shape, distances)) if distances else None,
        belongs=np.zeros(languages),
        centre=np.array(-0.2),
        unit=np.array(0.5),
    )
    score = rng.normal(size=shape)
    if censored:
        pairs = pairs._replace(censored=pairs.observed & (rng.uniform(size=shape) < 0.3))
    return pairs, score


def _errors(stated: np.ndarray) -> np.ndarray | None:
    """Return the stated errors, with their median in place of missing ones; None if none is stated."""
    if not np.isfinite(stated).any():
        return None
    return np.where(np.isfinite(stated), stated, np.nanmedian(stated))
