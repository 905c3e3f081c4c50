"""The run table in the form that a model takes: learning curves, padded to one array.

A *curve* is the sequence of checkpoints of one training run on one language, ordered by tokens. Every covariate of a
row becomes an array ``(run, step)`` with one line per curve. Shorter curves are padded by repeating their last
checkpoint, which keeps every law finite, and padding is masked out of the likelihood. Sizes are divided by reference
scales: their geometric means in the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayes_atlas.arrays import Array
from bayes_atlas.data.bilingual_design import partner_shares
from bayes_atlas.data.covariates import OF_SOURCES, Units, covariate, covariates
from bayes_atlas.data.runs import (
    CLOSEST,
    SCRATCH,
    co_sampled_sources,
    count_all_tokens,
    group_runs,
    read_runs,
    tokens_by_source,
    total_tokens,
)
from bayes_atlas.data.selection import Selection
from bayes_atlas.data.size_groups import NO_EFFECT, SizeGroups, size_weight
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError
from bayes_atlas.folder.info import Staleness
from bayes_atlas.observations.kind import Covariates, Dims, MissingError
from bayes_atlas.observations.normal_prior import Prior

STARTED = "source_started"
PARTNER = "source_partner"
OPTIONAL = ("tau_prior",)  # covariates that are not columns of a run table
TAU_PRIOR = "tau_prior_"  # prefix of the stored parts of such a prior
AGE = "age_"  # the same for `Age`


class Group(NamedTuple):
    """The group (language, model size) of each curve. A JAX pytree."""

    of_curve: Array  # (run,)
    members: Array  # (group, m) indices of the curves of each group, padded with any index
    is_member: Array  # (group, m) 1 if the entry of `members` is a curve, 0 if it is padding

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.members.shape[0]

    def spread(self, values: jax.Array) -> jax.Array:
        """Give each curve its group's value: ``(group, ...)`` to ``(run, 1, ...)``, which broadcasts over steps."""
        return _spread(values, self)[:, None]

    def total(self, values: jax.Array) -> jax.Array:
        """Sum over each group's curves: ``(run, ...)`` to ``(group, ...)``."""
        weights = self.is_member.reshape(self.is_member.shape + (1,) * (values.ndim - 1))
        return (values[self.members] * weights).sum(axis=1)

    @classmethod
    def of(cls, index: np.ndarray) -> "Group":
        """Group curves by the index ``(run,)`` of their group, which counts from 0 without gaps; -1 for no groups."""
        if (index < 0).all():
            return cls(np.asarray(index, dtype=np.int32), np.zeros((0, 1), dtype=np.int32), np.zeros((0, 1)))
        by_group = [np.flatnonzero(index == group) for group in range(index.max() + 1)]
        members = np.zeros((len(by_group), max(map(len, by_group))), dtype=np.int32)
        is_member = np.zeros(members.shape)
        for group, curves in enumerate(by_group):
            members[group, : len(curves)] = curves
            is_member[group, : len(curves)] = 1
        return cls(np.asarray(index, dtype=np.int32), members, is_member)

    def padded(self, curves: int, groups: int, members: int) -> "Group":
        """Pad with curves that belong to no group, and with groups that have no curves."""
        more = (groups - self.groups, members - self.members.shape[1])
        return Group(
            np.pad(self.of_curve, (0, curves - len(self.of_curve))),
            np.pad(self.members, [(0, count) for count in more]),
            np.pad(self.is_member, [(0, count) for count in more]),
        )


class Together(NamedTuple):
    """Which curves are of one training run, on several languages. A JAX pytree."""

    of_curve: Array  # (run,) training run of each curve
    seen: Array  # (training run, step) number of its curves that have this step

    @classmethod
    def of(cls, index: np.ndarray, observed: np.ndarray) -> "Together":
        """Group curves by the index ``(run,)`` of their training run, which counts from 0 without gaps."""
        seen = np.zeros((index.max() + 1, observed.shape[1]))
        np.add.at(seen, index, observed)
        return cls(np.asarray(index, dtype=np.int32), seen)

    def padded(self, curves: int, runs: int, steps: int) -> "Together":
        """Pad with curves and training runs that have no steps."""
        more = [(0, runs - self.seen.shape[0]), (0, steps - self.seen.shape[1])]
        return Together(np.pad(self.of_curve, (0, curves - len(self.of_curve))), np.pad(self.seen, more))

    def total(self, values: jax.Array) -> jax.Array:
        """Sum over the curves of each training run: ``(run, ...)`` to ``(training run, ...)``."""
        return jnp.zeros((self.seen.shape[0], *values.shape[1:]), values.dtype).at[self.of_curve].add(values)


class Age(NamedTuple):
    """How long each checkpoint's run has trained, which decides its burn-in. A JAX pytree."""

    log_tokens: Array  # (run, step) log of the run's tokens so far, of all languages, over their geometric mean
    log_params: Array  # (run, step) log of the run's size over its reference


class Curves(NamedTuple):
    """Layout of the curves: their groups, and the observed steps. A JAX pytree."""

    language: Group
    size: Group  # curves of one number of parameters, and of one data set if a language has several; see `_by_size`
    size_weight: Array  # () how large effects of sizes may be, from 0 for few sizes to 1 for many
    together: Together | None  # None if every training run is one curve
    observed: Array  # (run, step) True for a checkpoint, False for padding
    stage: Array  # (run, step) log ratio of the run's last tokens to this step's: 0 at the end, larger before
    epochs: Array | None  # (run, step) log of the epochs over own unique tokens; None if no data repeat
    age: Age | None  # None if burn-in is not part of the fit

    @property
    def languages(self) -> int:
        """Number of languages."""
        return self.language.groups

    @property
    def repeated(self) -> bool:
        """True if any curve has more than one step."""
        return self.observed.shape[1] > 1

    @property
    def shape(self) -> "Shape":
        """Sizes of the arrays, for which a program is compiled."""
        runs, steps = self.observed.shape
        together = 0 if self.together is None else self.together.seen.shape[0]
        of_language, of_size = (group.members.shape[1] for group in (self.language, self.size))
        return Shape(runs, steps, of_language, self.size.groups, of_size, together)

    def padded(self, shape: "Shape") -> "Curves":
        """Pad the curves up to `shape`; padding counts as unobserved."""
        return Curves(
            language=self.language.padded(shape.runs, self.language.groups, shape.of_language),
            size=self.size.padded(shape.runs, shape.sizes, shape.of_size),
            size_weight=self.size_weight,
            together=None if self.together is None else self.together.padded(shape.runs, shape.together, shape.steps),
            observed=_pad(self.observed, shape, mode="constant"),
            stage=_pad(self.stage, shape),
            epochs=None if self.epochs is None else _pad(self.epochs, shape),
            age=None if self.age is None else Age(*(_pad(each, shape) for each in self.age)),
        )

    def persistence(self, memory: jax.Array) -> jax.Array:
        """Return each step's correlation with the previous one, ``(run, step)``: exp(-log-ratio of tokens / memory)."""
        apart = jnp.maximum(self.stage[:, :-1] - self.stage[:, 1:], CLOSEST)
        return jnp.pad(jnp.exp(-apart / memory), ((0, 0), (1, 0)))

    def by_language(self, values: jax.Array) -> jax.Array:
        """Give each curve its language's value: ``(language, ...)`` to ``(run, 1, ...)``."""
        return self.language.spread(values)

    def typical(self, values: jax.Array) -> jax.Array:
        """Average over the observed steps of each language's curves: ``(run, step)`` to ``(language,)``."""
        totals = jnp.stack([jnp.where(self.observed, values, 0.0).sum(axis=1), self.observed.sum(axis=1)], axis=-1)
        total, count = jnp.moveaxis(self.language.total(totals), -1, 0)
        return total / jnp.maximum(count, 1)


class Shape(NamedTuple):
    """Sizes of the arrays of curves. Tables with the same padded shape share one compiled program."""

    runs: int
    steps: int
    of_language: int  # curves of the language with the most curves
    sizes: int
    of_size: int  # curves of the model size with the most curves
    together: int = 0  # training runs, if some have curves on several languages; otherwise 0

    def rounded(self) -> "Shape":
        """Round up by at most an eighth, except model sizes, so that tables of similar size have the same shape."""
        return Shape(
            runs=_round_up(self.runs),
            steps=_round_up(self.steps),
            of_language=_round_up(self.of_language),
            sizes=self.sizes,
            of_size=_round_up(self.of_size),
            together=_round_up(self.together),
        )

    def join(self, other: "Shape") -> "Shape":
        """Return the smallest shape that contains both."""
        return Shape(*map(max, self, other))


def _round_up(count: int) -> int:
    step = 1 << max(count.bit_length() - 4, 0)
    return -(-count // step) * step


def _pad(values: np.ndarray, shape: Shape, mode: Literal["edge", "constant"] = "edge") -> np.ndarray:
    """Pad an array ``(run, step, ..)`` up to the runs and steps of `shape`."""
    more = [(0, shape.runs - values.shape[0]), (0, shape.steps - values.shape[1])]
    return np.pad(values, more + [(0, 0)] * (values.ndim - 2), mode=mode)


@jax.custom_vjp
def _spread(values: jax.Array, group: Group) -> jax.Array:
    return values[jnp.asarray(group.of_curve)]


def _spread_forward(values: jax.Array, group: Group) -> tuple[jax.Array, Group]:
    return values[group.of_curve], group


def _spread_backward(group: Group, gradient: jax.Array) -> tuple[jax.Array, None]:
    # The gradient of a gather is a scatter-add, slow on every backend. A sum over each group's own curves is fast.
    weights = group.is_member.reshape(group.is_member.shape + (1,) * (gradient.ndim - 1))
    return (gradient[group.members] * weights).sum(axis=1), None


_spread.defvjp(_spread_forward, _spread_backward)


@dataclass(frozen=True)
class CurveData:
    """The `Observations` of a run table: covariates with `curves`, the observed loss, and the label of each index."""

    covariates: Covariates  # arrays (run, step[, source]) in units of their reference, and `curves`
    loss: np.ndarray  # (run, step); padding repeats the last checkpoint
    coords: dict[str, list[str]]  # language, run (one per curve), source
    references: dict[str, dict[str, float]]  # language -> {"params": N0, "tokens": D0}
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)  # language -> its named sources, by rank
    left_out: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    ranges_by_language: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)

    @property
    def curves(self) -> Curves:
        """The layout of the curves."""
        curves = self.covariates["curves"]
        assert isinstance(curves, Curves)
        return curves

    @property
    def languages(self) -> list[str]:
        """Names of the languages."""
        return self.coords["language"]

    @property
    def rows(self) -> int:
        """Number of observed checkpoints."""
        return int(np.asarray(self.curves.observed).sum())

    @property
    def units(self) -> int:
        """Number of curves."""
        return len(self.coords["run"])

    @property
    def shape(self) -> Shape:
        """Sizes of the arrays."""
        return self.curves.shape

    def padded(self, shape: Shape) -> tuple[Covariates, np.ndarray]:
        """Return covariates and loss, padded up to `shape`; padding counts as unobserved."""

        def larger(values: object) -> object:
            if isinstance(values, Curves):
                return values.padded(shape)
            return _pad(values, shape) if isinstance(values, np.ndarray) else values

        return {name: larger(values) for name, values in self.covariates.items()}, _pad(self.loss, shape)

    def unlike(self, other: "CurveData") -> str:
        """Return in words why one program cannot serve both tables; empty if it can."""
        for name, values in self.covariates.items():
            if _structure(values) != _structure(other.covariates[name]):
                return f"differ in {name}, which only one of them has, or in its number of sources"
        one, two = (each.curves.epochs is None for each in (self, other))
        if one != two:
            return "do not both repeat data"
        one, two = (each.curves.age is None for each in (self, other))
        if one != two:
            return "do not both have runs with several checkpoints, from which runs have a burn-in"
        one, two = (each.curves.together is None for each in (self, other))
        if one != two:
            return "do not both have runs on several languages, whose residuals have a part in common"
        one, two = (each.curves.size.groups == 0 for each in (self, other))
        return (
            "" if one == two else f"do not both have more than {NO_EFFECT} model sizes, from which sizes have effects"
        )

    def own(self, values: np.ndarray, dims: Sequence[str]) -> np.ndarray:
        """Return a site's values without the model sizes and curves that are padding."""
        for dim, count in (("size", self.curves.size.groups), ("run", self.units)):
            if dim in dims:
                values = np.take(values, range(count), axis=list(dims).index(dim) - len(dims))
        return values

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Return the groups of a stored posterior that describe single runs, and the dims of their variables."""
        covariates = {name: values for name, values in self.covariates.items() if isinstance(values, np.ndarray)}
        curves, prior = self.curves, self.covariates.get("tau_prior")
        layout = {"language_index": curves.language.of_curve, "size_index": curves.size.of_curve}
        layout |= {} if curves.together is None else {"run_index": curves.together.of_curve}
        stages = {"stage": curves.stage} | ({} if curves.epochs is None else {"epochs": curves.epochs})
        stages |= {} if curves.age is None else {AGE + name: values for name, values in curves.age._asdict().items()}
        parts = prior._asdict() if isinstance(prior, Prior) else {}
        priors = {TAU_PRIOR + name: values for name, values in parts.items()}
        groups = {
            "log_likelihood": {"log_loss": log_likelihood[..., : self.units]},
            "observed_data": {"loss": np.where(curves.observed, self.loss, np.nan)},
            "constant_data": covariates | layout | stages | priors | {"size_weight": curves.size_weight},
        }
        steps = {name: ["run", "step", "source"][: values.ndim] for name, values in covariates.items()}
        of_run = {name: ["run"] for name in ("log_loss", *layout)}
        of_step = {name: ["run", "step"] for name in ("loss", *stages)}
        return groups, steps | of_run | of_step | {"size_weight": []} | {
            name: ["language", "source"] for name in priors
        }

    def probe(self) -> dict[str, Any]:
        """Return the fields of `Staleness` from which `made_up` makes a table like this one."""
        return {
            "sources": len(self.coords["source"]),
            "sizes": self.curves.size.groups,
            "repeated": self.curves.repeated,
            "epochs": self.curves.epochs is not None,
            "burn_in": self.curves.age is not None,
            "together": self.curves.together is not None,
        }


def _structure(values: object) -> object:
    return values.shape[2:] if isinstance(values, np.ndarray) else values is None


class RunTable:
    """The kind ``curves``: a run table, fitted as learning curves."""

    name = "curves"
    variable = "loss"
    reader = "read_runs"
    in_table_units = False

    def read(self, path: Path, traits: Path | None = None) -> xr.Dataset:
        """Read a run table by `read_runs`; InputError if `traits` are given."""
        if traits is not None:
            raise InputError(f"--traits is for score tables, and {path.name} is a run table; leave it out")
        return read_runs(path)

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> CurveData:
        """Arrange the rows to fit as curves; runs from scratch only, unless the model includes checkpoints."""
        fitted, left_out = _select(table, selection.languages, every_start=STARTED in wanted)
        fitted = group_runs(fitted, selection.by) if selection.by else fitted
        fitted = count_all_tokens(fitted) if selection.all_tokens else fitted
        arranged = arrange(
            fitted, wanted, sources=selection.sources, others=selection.others, burn_in=selection.burn_in
        )
        own = _ranges_by_language(fitted)
        return replace(arranged, left_out=left_out, ranges=_ranges(fitted), ranges_by_language=own)

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, np.ndarray]:
        """Return covariates and loss of a stored posterior, without padding."""
        if "size_weight" not in constant:
            raise MissingError("the layout of the runs, which earlier versions did not store; fit again")
        stored = {str(name): values.to_numpy() for name, values in constant.items()}
        loss = observed["loss"].to_numpy()
        covariates: Covariates = {
            name: stored[name].astype(float) if there and name in stored else None for name, there in given.items()
        }
        if given.get("tau_prior"):
            covariates["tau_prior"] = Prior(**{name: stored[TAU_PRIOR + name] for name in Prior._fields})
        covariates["curves"] = Curves(
            language=Group.of(stored["language_index"]),
            size=Group.of(stored["size_index"]),
            size_weight=stored["size_weight"],
            together=Together.of(stored["run_index"], np.isfinite(loss)) if "run_index" in stored else None,
            observed=np.isfinite(loss),
            stage=stored["stage"].astype(float),
            epochs=stored["epochs"].astype(float) if "epochs" in stored else None,
            age=Age(*(stored[AGE + name].astype(float) for name in Age._fields))
            if AGE + "log_tokens" in stored
            else None,
        )
        return covariates, np.where(np.isfinite(loss), loss, 1.0).astype(float)

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Make up curves of every language and model size, with covariates log-normal around their reference."""
        rng = np.random.default_rng(seed)
        curves, steps = max(languages, shape.sizes), 2 if shape.repeated else 1
        covariates: Covariates = {}
        for name, given in shape.covariates.items():
            if name == "tau_prior" and given:
                some = rng.uniform(size=(languages, shape.sources)) < 0.5
                covariates[name] = Prior(some, np.where(some, 0.1, 0.0), np.where(some, 0.05, 1.0))
                continue
            size = (curves, steps, shape.sources) if name.startswith("source_") else (curves, steps)
            covariates[name] = np.exp(rng.normal(size=size)) if given else None
            if name in (STARTED, PARTNER):  # curves cycle through no source and each source
                start = np.arange(curves) % (shape.sources + 1)
                covariates[name] = np.eye(shape.sources + 1)[start, None, 1:].repeat(steps, axis=1)
        covariates["curves"] = Curves(
            language=Group.of(np.arange(curves) % languages),
            size=Group.of(np.arange(curves) % shape.sizes if shape.sizes else np.full(curves, -1)),
            size_weight=np.ones(()),
            together=Together.of(np.arange(curves) // 2, np.ones((curves, steps))) if shape.together else None,
            observed=np.ones((curves, steps), dtype=bool),
            stage=np.tile(np.log([2.0, 1.0])[-steps:], (curves, 1)),
            epochs=np.abs(rng.normal(size=(curves, steps))) if shape.epochs else None,
            age=Age(*rng.normal(size=(2, curves, steps))) if shape.burn_in else None,
        )
        return covariates, np.exp(1 + 0.1 * rng.normal(size=(curves, steps)))


KIND = RunTable()


def _select(runs: xr.Dataset, languages: Sequence[str], *, every_start: bool) -> tuple[xr.Dataset, dict[str, int]]:
    """Select rows of the given `languages` and of runs from scratch, the only runs that most laws describe.

    Returns:
        The rows to fit, and the number of rows that each of the two conditions leaves out.
    """
    known = np.unique(runs["language"].to_numpy()).tolist()
    unknown = [language for language in languages if language not in known]
    if unknown:
        raise InputError(f"{runs.attrs['name']} has no language {unknown[0]!r}; choose from: {', '.join(known)}")
    wanted = np.isin(runs["language"].to_numpy(), list(languages) or known)
    scratch = (runs["init"].to_numpy() == SCRATCH) | every_start
    if not (wanted & scratch).any():
        raise InputError(
            f"no run of {runs.attrs['name']} started from scratch (column init), and this model describes only those; "
            f"add runs with init = {SCRATCH}"
        )
    left_out = {
        "belonged to another language": int((~wanted).sum()),
        "started from a checkpoint": int((wanted & ~scratch).sum()),
    }
    return runs.isel(row=wanted & scratch), {reason: rows for reason, rows in left_out.items() if rows}


def _ranges(runs: xr.Dataset) -> dict[str, tuple[float, float]]:
    columns = {name: runs[name].to_numpy() for name in ("params", "tokens", "compute")}
    columns["epochs"] = columns["tokens"] / np.minimum(runs["unique"].to_numpy(), columns["tokens"])
    columns["tokens_per_param"] = columns["tokens"] / columns["params"]
    if "languages" in runs:
        columns["languages"] = runs["languages"].to_numpy()
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


def _ranges_by_language(runs: xr.Dataset) -> dict[str, dict[str, tuple[float, float]]]:
    language = runs["language"].to_numpy()
    return {str(name): _ranges(runs.isel(row=language == name)) for name in dict.fromkeys(language.tolist())}


def arrange(
    runs: xr.Dataset,
    wanted: Sequence[str],
    *,
    sources: int | None = None,
    others: bool = True,
    burn_in: bool = False,
) -> CurveData:
    """Arrange a run table for a model.

    Args:
        runs: a run table, from `read_runs`.
        wanted: the model's covariates: any of `bayes_atlas.data.covariates`, with named sources on the last axis and
            the rest lumped as *other*; any numeric column of the table; ``curves``; ``source_started``, 1 for the
            checkpoint from which a run started; ``source_partner``, 1 for the partner language of a 50/50 run. The last
            two replace the named sources by checkpoints or partners. A covariate without information is None:
            ``..unique`` if no data repeat, ``source_tokens`` or ``other_tokens`` if there are none. So are those of
            `OPTIONAL`, which have another origin.
        sources: number of named sources of each language, the most co-sampled ones; all if None.
        others: include the remaining sources; if False, their covariates are None.
        burn_in: include the age of checkpoints, if runs have several.

    Raises:
        InputError: a wanted covariate is not a column of the table; the message lists the available ones.
    """
    language_names = list(dict.fromkeys(runs["language"].values.tolist()))
    layout = _Layout.of(runs, language_names)
    references = _references(runs, language_names)
    own_unit = np.array([references[name]["tokens"] for name in runs["language"].to_numpy().tolist()])
    units = Units(references[language_names[0]]["params"], own_unit)
    named, given, columns = np.empty((len(language_names), 0), dtype=str), list[str](), dict[str, np.ndarray]()
    if STARTED in wanted:
        given = _checkpoints(runs)
        named = np.tile(np.array(given), (len(language_names), 1))
        columns[STARTED] = (runs["init"].to_numpy()[:, None] == np.array(given)).astype(float)
    elif PARTNER in wanted:
        columns[PARTNER], given = _partners(runs)
        named = np.tile(np.array(given), (len(language_names), 1))
    elif any(name in OF_SOURCES for name in wanted):
        ranked = co_sampled_sources(runs, sources if sources is not None else runs.sizes["source"] - 1)
        named = ranked.sel(language=language_names).to_numpy()
        named = named[:, (named != "").any(axis=0)]
        columns |= tokens_by_source(runs, dict(zip(language_names, named, strict=True)), own_unit[:, None])
        if not others:
            columns["other_tokens"] = np.zeros_like(columns["other_tokens"])
    plain = [name for name in wanted if name != "curves" and name not in OPTIONAL and name not in columns]
    columns |= covariates(runs, plain, units)

    def arranged(name: str) -> object:
        if name == "curves":
            return layout.curves(runs, references[language_names[0]]["params"] if burn_in else None)
        if name in OPTIONAL or _says_nothing(columns, name, runs, units):
            return None
        return columns[name][layout.row]

    return CurveData(
        covariates={name: arranged(name) for name in wanted},
        loss=runs["loss"].values[layout.row],
        coords={
            "language": language_names,
            "run": layout.labels,
            "source": given or [str(rank + 1) for rank in range(named.shape[1])],
        },
        references=references,
        sources={language: [str(name) for name in row] for language, row in zip(language_names, named, strict=True)},
    )


@dataclass(frozen=True)
class _Layout:
    row: np.ndarray  # (run, step) row of the table
    observed: np.ndarray  # (run, step)
    language: np.ndarray  # (run,)
    labels: list[str]

    @classmethod
    def of(cls, runs: xr.Dataset, language_names: list[str]) -> "_Layout":
        code = {name: index for index, name in enumerate(language_names)}
        rows: dict[tuple[str, str], list[int]] = {}
        for index, key in enumerate(zip(runs["run"].values.tolist(), runs["language"].values.tolist(), strict=True)):
            rows.setdefault(key, []).append(index)
        tokens = runs["tokens"].values
        ordered = [sorted(members, key=tokens.__getitem__) for members in rows.values()]
        steps = max(map(len, ordered))
        alone = len(language_names) == 1
        return cls(
            row=np.array([members + [members[-1]] * (steps - len(members)) for members in ordered]),
            observed=np.array([[step < len(members) for step in range(steps)] for members in ordered]),
            language=np.array([code[language] for _, language in rows]),
            labels=[run if alone else f"{run}:{language}" for run, language in rows],
        )

    def curves(self, runs: xr.Dataset, unit: float | None) -> Curves:
        """Return the layout, with the age of each checkpoint if the `unit` of sizes is given."""
        tokens = runs["tokens"].to_numpy()[self.row]
        epochs = np.maximum(tokens / runs["unique"].to_numpy()[self.row], 1.0)
        last = self.row[:, -1]
        sizes = runs["params"].to_numpy()[last], runs["unique"].to_numpy()[last], self.language
        stage = np.log(tokens[:, -1:] / tokens)
        return Curves(
            language=Group.of(self.language),
            size=_by_size(*sizes),
            size_weight=np.asarray(size_weight(sizes[0])),
            together=_by_run(runs["run"].to_numpy()[last], stage, self.observed),
            observed=self.observed,
            stage=stage,
            epochs=np.log(epochs) if (epochs > 1).any() else None,
            age=None if unit is None or self.row.shape[1] == 1 else self._age(runs, unit),
        )

    def _age(self, runs: xr.Dataset, unit: float) -> Age:
        log_tokens, log_params = np.log(total_tokens(runs)), np.log(runs["params"].to_numpy() / unit)
        return Age((log_tokens - log_tokens.mean())[self.row], log_params[self.row])


def _checkpoints(runs: xr.Dataset) -> list[str]:
    """Return the checkpoints from which runs started, in the order of the table."""
    found = [name for name in dict.fromkeys(runs["init"].values.tolist()) if name != SCRATCH]
    if not found or len(found) == len(set(runs["init"].values.tolist())):
        raise InputError(
            f"{runs.attrs['name']} must have runs from scratch and from a checkpoint for this model; give the start of "
            f"each run in the column init: {SCRATCH} or the name of the checkpoint"
        )
    return found


def _partners(runs: xr.Dataset) -> tuple[np.ndarray, list[str]]:
    """Return an indicator ``(row, partner)``, 1 for the partner of a 50/50 row, and the names of the partners."""
    share, alone, half = partner_shares(runs)
    if not (alone | half).all():
        raise InputError(
            f"this model describes runs on one language, or on two in equal parts, and {runs.attrs['name']} has "
            f"{plural(int((~(alone | half)).sum()), 'row')} of another mixture; select the rows that it describes with "
            f"bayes_atlas.data.bilingual_design.bilingual_study, or use `bayes-atlas scores`"
        )
    if not half.any():
        raise InputError(f"{runs.attrs['name']} has no run on two languages in equal parts; add some for this model")
    partners = share[half].any(axis=0)
    return share[:, partners].astype(float), runs["source"].to_numpy()[partners].tolist()


def _by_size(params: np.ndarray, unique: np.ndarray, language: np.ndarray) -> Group:
    """Group curves by size and data set; there are no groups if sizes are so few that they have no effects.

    What counts is the table itself, so its model does not depend on the tables that it is fitted beside.
    """
    if not size_weight(params):
        return Group.of(np.full(len(params), -1))
    return Group.of(SizeGroups.of(params, unique, language).find(params, unique, language))


def _by_run(run: np.ndarray, stage: np.ndarray, observed: np.ndarray) -> Together | None:
    """Group the curves of a run that have the same checkpoints, as parts of the run; None if there are no two such."""
    steps = np.where(observed, np.round(stage, 6), np.inf)
    keys = list(zip(run.tolist(), map(tuple, steps.tolist()), strict=True))
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return Together.of(np.array([number[key] for key in keys]), observed) if len(number) < len(keys) else None


def _references(runs: xr.Dataset, language_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return geometric means: of the model size over all runs, and of each language's own tokens."""
    params = _geometric_mean(runs["params"].to_numpy())
    tokens, language = runs["tokens"].to_numpy(), runs["language"].to_numpy()
    return {name: {"params": params, "tokens": _geometric_mean(tokens[language == name])} for name in language_names}


def _says_nothing(columns: Mapping[str, np.ndarray], name: str, runs: xr.Dataset, units: Units) -> bool:
    """Return True for a covariate without information: unique tokens if none repeat, source tokens if all are 0."""
    if name == "unique":
        return not (covariate(runs, "tokens", units) > columns[name]).any()
    if name in ("source_unique", "other_unique"):
        return not (columns[name.replace("unique", "tokens")] > columns[name]).any()
    return name in ("source_tokens", "other_tokens") and not columns[name].any()


def _geometric_mean(values: np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))
