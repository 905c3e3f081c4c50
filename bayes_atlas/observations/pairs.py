"""The score table as a model sees it: dyads, that is, unordered pairs of languages with a score in each direction.

The two scores of a dyad may be correlated; given what the languages give and receive, dyads are independent.
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
from bayes_atlas.observations.kind import NO_CURVES, Covariates, Dims, Unpadded, no_selection
from bayes_atlas.posterior import Staleness


class Pairs(NamedTuple):
    """Layout of the dyads. A JAX pytree; direction 1 of a dyad has source and target of direction 0 exchanged."""

    target: Array  # (dyad, 2) index of the language that is helped
    observed: Array  # (dyad, 2) whether the score was measured
    error: Array | None  # (dyad, 2) standard deviation of its error; None where the table states none
    common: Array  # (dyad, trait) 1 where the two have the trait in common, else 0; traits as in `TRAITS`
    distances: Array | None  # (dyad, 2, distance) in standard deviations
    belongs: Array  # (target,) 0 for each language: what there are
    centre: Array  # mean of the scores measured
    unit: Array  # their standard deviation
    censored: Array | None = None  # (dyad, 2) whether the score is an upper bound; None where none is

    @property
    def languages(self) -> int:
        """Number of languages."""
        return self.belongs.shape[0]

    @property
    def source(self) -> Array:
        """Index of the language that helps, ``(dyad, 2)``."""
        return self.target[:, ::-1]

    def by_target(self, values: jax.Array) -> jax.Array:
        """Give each direction its target's value: ``(language,)`` to ``(dyad, 2)``."""
        return self._spread(values, self.target)

    def by_source(self, values: jax.Array) -> jax.Array:
        """Give each direction its source's value."""
        return self._spread(values, self.source)

    def matrix(self, values: jax.Array) -> jax.Array:
        """Values ``(dyad, 2)`` as ``(target, source)``, NaN on the diagonal."""
        empty = jnp.full((self.languages, self.languages), jnp.nan, values.dtype)
        return empty.at[self.target, self.source].set(values)

    def _spread(self, values: jax.Array, index: Array) -> jax.Array:
        # A product, since the gradient of a gather is a slow scatter-add.
        return jax.nn.one_hot(index, self.languages, dtype=values.dtype) @ values


@dataclass(frozen=True)
class PairData(Unpadded):
    """The `Observations` of a score table."""

    covariates: Covariates  # `pairs`
    score: np.ndarray  # (dyad, 2), 0 where not observed
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
        """Covariates and scores as they are."""
        return self.covariates, self.score

    def probe(self) -> dict[str, Any]:
        """Fields of `Staleness` from which `made_up` makes a table like this one."""
        pairs = self.pairs
        given = {"stated": pairs.error is not None, "censored": pairs.censored is not None}
        layout = {"distances": len(self.coords["distance"])} | {name: int(there) for name, there in given.items()}
        return NO_CURVES | {"layout": layout}

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Groups of a stored posterior that describe single scores, and the dims of their variables."""
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
        """Number of scores measured."""
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
        """`read_scores`."""
        return read_scores(path, traits)

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> PairData:
        """All scores, as dyads."""
        no_selection(table, selection)
        return arrange_pairs(table)

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, np.ndarray]:
        """Covariates and scores of a stored posterior."""
        score = observed["measured_score"].to_numpy()
        stored = {name: constant[name].to_numpy() if name in constant else None for name in Pairs._fields}
        stored |= {"target": constant["target_index"].to_numpy(), "observed": np.isfinite(score)}
        return {"pairs": Pairs(**stored)}, np.nan_to_num(score).astype(float)

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Dyads of so many languages and their scores, the same for every seed."""
        pairs, score = made_up_pairs(languages, **shape.layout)
        return {"pairs": pairs}, score


KIND = ScoreTable()


def made_up_pairs(languages: int, distances: int, stated: int, censored: int = 0) -> tuple[Pairs, np.ndarray]:
    """Dyads of so many languages and their scores, drawn at random but always the same."""
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
    """Errors, the median of those stated where one is not; None where none is."""
    if not np.isfinite(stated).any():
        return None
    return np.where(np.isfinite(stated), stated, np.nanmedian(stated))
