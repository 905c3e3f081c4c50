"""Errors of the law as they are stored with a posterior, and the laws that are drawn from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.folder.draws import Arrays
from bayes_atlas.folder.info import PosteriorError
from bayes_atlas.law_error.coordinates import Coordinates
from bayes_atlas.law_error.learning import Language, Learned
from bayes_atlas.law_error.walks import STEP, Walk
from bayes_atlas.law_error.wrong_law import Bend
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

GROUP = "law_error"  # of a posterior's draws
TAUGHT = 0.2  # share of a parameter's prior variance that runs must take away to count as its source
WORDS = {"E": "level of loss", "A": "share of A", "B": "share of E"}  # of coordinates
REACH = 24  # knots beyond those that languages' runs reach, on both sides; farther out exponents stay constant
LABELS = ("language", "exponent", "parameter", "coordinate")
DIMS: dict[str, tuple[str, ...]] = {  # of the stored arrays
    "log_evidence": ("language", "kappa"),
    "noise": ("language", "kappa"),
    "size_effect": ("language", "kappa"),
    "log_q_sd": ("language", "kappa"),
    "decrement": ("language", "kappa"),
    "centre": ("language", "kappa", "coordinate"),
    "transport": ("language", "kappa", "coordinate", "coordinate_before"),
    "mean": ("language", "kappa", "bend"),
    "slope": ("language", "kappa", "bend", "coordinate"),
    "root": ("language", "kappa", "bend", "bend_before"),
    "middle": ("language", "coordinate"),
    "origin": ("language", "exponent"),
    "log_unit": ("language", "exponent"),
    "contraction": ("language", "coordinate"),
    "log_prior": ("kappa",),
    "first": ("exponent",),
    "last": ("exponent",),
    "positive": ("parameter",),
    "entries": ("parameter",),
    "kappa": ("kappa",),
} | {name: (name,) for name in LABELS}
LARGEST = 1e6  # of any stored number
FARTHEST_MEAN = 5.0  # distance of the mean of draws from that of the draws behind the errors, in standard deviations
SHARED = 0.5  # share of the variance of what the runs leave open that languages have in common


def stored(
    languages: Mapping[str, Language], learned: Mapping[str, Sequence[Learned]], kappas: Floats, log_prior: Floats
) -> "xr.Dataset":
    """Return what was learned about each language as one Dataset, which `LawError` reads.

    Args:
        languages: by name.
        learned: of each language, one for each of `kappas`.
        kappas: sizes of the walks ``(kappa,)``.
        log_prior: their log probabilities before the runs ``(kappa,)``.
    """
    names = list(languages)
    first = languages[names[0]]
    exponents = list(first.law.RUNNING)
    least = {e: min(each.axes[e].first for each in languages.values()) for e in exponents}
    most = {e: max(each.axes[e].last for each in languages.values()) for e in exponents}
    steps = {e: most[e] - least[e] for e in exponents}
    bends = 2 + sum(steps.values())
    shape = len(names), len(kappas)
    count = len(first.middle)
    arrays = {
        "log_evidence": np.zeros(shape),
        "noise": np.ones(shape),
        "size_effect": np.ones(shape),
        "log_q_sd": np.zeros(shape),
        "decrement": np.zeros(shape),
        "centre": np.zeros((*shape, count)),
        "transport": np.zeros((*shape, count, count)),
        "mean": np.zeros((*shape, bends)),
        "slope": np.zeros((*shape, bends, count)),
        "root": np.zeros((*shape, bends, bends)),
    }
    for row, name in enumerate(names):
        at = _places(languages[name], least, steps)
        for column, (kappa, each) in enumerate(zip(kappas, learned[name], strict=True)):
            here = row, column
            np.fill_diagonal(arrays["root"][here], kappa * np.sqrt(STEP))
            for key in ("log_evidence", "noise", "size_effect", "log_q_sd", "decrement", "centre", "transport"):
                arrays[key][here] = getattr(each, key)
            arrays["mean"][here][at] = each.mean
            arrays["slope"][here][at] = each.slope
            arrays["root"][here][np.ix_(at, at)] = each.root
    variables: dict[str, Any] = {name: (DIMS[name], values.astype(np.float32)) for name, values in arrays.items()}
    more = {
        "middle": np.stack([each.middle for each in languages.values()]),
        "origin": np.array([[each.axes[e].origin for e in exponents] for each in languages.values()]),
        "log_unit": np.array([[each.log_units[e] for e in exponents] for each in languages.values()]),
        "contraction": np.stack([each.contraction for each in languages.values()]),
        "log_prior": log_prior,
        "first": np.array([least[e] for e in exponents]),
        "last": np.array([most[e] for e in exponents]),
        "positive": np.array(first.coordinates.positive, dtype=np.int8),
        "entries": np.array(first.coordinates.counts),
    }
    variables |= {name: (DIMS[name], values) for name, values in more.items()}
    coordinates = first.coordinates
    coords = {
        "language": names,
        "kappa": np.asarray(kappas),
        "exponent": exponents,
        "parameter": coordinates.names,
        "coordinate": coordinates.labels,
    }
    single = {
        name: (dims, np.asarray(values, np.float32) if np.asarray(values).dtype.kind == "f" else values)
        for name, (dims, values) in variables.items()
    }
    import xarray as xr

    return xr.Dataset(single, coords)


def _places(language: Language, least: Mapping[str, int], steps: Mapping[str, int]) -> list[int]:
    """Return the positions of a language's own log q and increments among those of all languages."""
    places, start = [0, 1], 2
    for name, axis in language.axes.items():
        own = axis.first - least[name]
        places += range(start + own, start + own + axis.steps)
        start += steps[name]
    return places


def _moderate(values: NDArray[Any]) -> bool:
    """Return True if all `values` are finite and of a size that logs and standard deviations have."""
    return bool((np.abs(values) < LARGEST).all())  # false for NaN


def _unusable(posterior: Posterior, why: str) -> PosteriorError:
    return PosteriorError(
        f"the draws of {posterior.name} have no usable errors of the law: {why}; restore them, fit again, or leave out "
        f"the errors (law_error = none)"
    )


@dataclass(frozen=True)
class LawError:
    """Laws with errors: one for each draw of a posterior."""

    posterior: Posterior
    learned: Arrays
    seed: int = 0
    _kept: dict[str, tuple[dict[str, Floats], Bend]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, posterior: Posterior, seed: int = 0) -> "LawError | None":
        """Return the errors of a posterior's law, drawn from a seed; None if they were not stored with it."""
        found = posterior.arrays(GROUP)
        if found is None:
            return None
        for name, dims in DIMS.items():
            if found.dims.get(name) != dims or not (name in LABELS or _moderate(found[name])):
                raise _unusable(posterior, f"{name} is missing, not finite or too large")
        first, last, origin = (found[name] for name in ("first", "last", "origin"))
        if (first > origin).any() or (origin > last).any() or found.sizes["bend"] != 2 + int((last - first).sum()):
            raise _unusable(posterior, "knots of its exponents do not fit together")
        return cls(posterior, found, seed)

    @cached_property
    def probability(self) -> Floats:
        """``(kappa,)`` posterior probabilities of the sizes of the walks. All languages have the same size."""
        logs = self.learned["log_evidence"].astype(float).sum(axis=0) + self.learned["log_prior"]
        probability = np.exp(logs - logs.max())
        return np.asarray(probability / probability.sum())

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """``(draw,)`` index of the size of each draw."""
        rng = np.random.default_rng([self.seed, 1])
        return rng.choice(len(self.probability), self.posterior.count, p=self.probability)

    def of_prior(self, language: str) -> list[str]:
        """Return the names of parameters that the runs say little about, so that their posterior is the prior."""
        found = self.learned.at("language", language)
        names = found["coordinate"][found["contraction"] < TAUGHT].tolist()
        return [WORDS.get(name, name) for name in names if "[" not in name]

    def parameters(self, language: str) -> dict[str, Floats]:
        """Return draws of the law's parameters, as `Posterior.parameters`, moved to where they are if the law errs."""
        return self._drawn(language)[0]

    def bend(self, language: str) -> Bend:
        """Return the errors of one language's law, one for each draw."""
        return self._drawn(language)[1]

    def noise(self, language: str) -> Floats:
        """Return the factor ``(draw,)`` on the noise of the fit, which took errors of the law for noise."""
        return self._factor("noise", language)

    def size_effect(self, language: str) -> Floats:
        """Return the factor ``(draw,)`` on the size effects of the fit, which took errors of the law for these too."""
        return self._factor("size_effect", language)

    def _factor(self, name: str, language: str) -> Floats:
        return self.learned.at("language", language)[name].astype(float)[self.chosen]

    def _drawn(self, language: str) -> tuple[dict[str, Floats], Bend]:
        if language not in self._kept:
            self._kept[language] = self._draw(language)
        return self._kept[language]

    def _draw(self, language: str) -> tuple[dict[str, Floats], Bend]:
        own = self.learned.at("language", language)
        arrays = {name: own[name].astype(float) for name in own.names if own[name].dtype.kind == "f"}
        alone = self.posterior.parameters(language)
        names = own["parameter"].tolist()
        entries = {name: 0 if values.ndim == 1 else values.shape[1] for name, values in alone.items()}
        if [entries.get(name) for name in names] != own["entries"].tolist():
            raise _unusable(self.posterior, "their parameters are not those of the law")
        coordinates = Coordinates(names, own["entries"].tolist(), own["positive"].tolist())
        away = coordinates.pack({name: alone[name] for name in names}) - arrays["middle"]
        if (np.abs(away.mean(axis=0)) > FARTHEST_MEAN * (away.std(axis=0) + 1e-3)).any():
            raise _unusable(self.posterior, "they were learned from other draws")
        moved, bends = np.empty_like(away), np.empty((len(away), own.sizes["bend"]))
        luck = self._luck(language, bends.shape[1] + 2 * REACH * own.sizes["exponent"])
        for number in np.unique(self.chosen):
            at = self.chosen == number
            deviation = away[at] @ arrays["transport"][number].T
            moved[at] = arrays["centre"][number] + deviation
            bends[at] = arrays["mean"][number] + deviation @ arrays["slope"][number].T
            bends[at] += luck[at, : bends.shape[1]] @ arrays["root"][number].T
        kappa = own["kappa"][self.chosen, None] * np.sqrt(STEP)
        walks, start, spare = {}, 2, bends.shape[1]
        for column, name in enumerate(own["exponent"].tolist()):
            first, last = int(own["first"][column]), int(own["last"][column])
            before, after = (kappa * luck[:, spare + side * REACH : spare + (side + 1) * REACH] for side in (0, 1))
            inside = bends[:, start : start + last - first]
            origin = int(own["origin"][column])
            walks[name] = Walk(first - REACH, origin, np.hstack([before, inside, after]))
            start, spare = start + last - first, spare + 2 * REACH
        units = dict(zip(own["exponent"].tolist(), arrays["log_unit"].tolist(), strict=True))
        return coordinates.unpack(moved), Bend(walks, bends[:, 0], bends[:, 1], units)

    def _luck(self, language: str, count: int) -> Floats:
        """Return standard normal draws ``(draw, count)``, which languages share in part."""
        number = self.learned["language"].tolist().index(language)
        common, own = (
            np.random.default_rng([self.seed, 2, each]).standard_normal((len(self.chosen), count))
            for each in (0, number + 1)
        )
        return np.asarray(np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)
