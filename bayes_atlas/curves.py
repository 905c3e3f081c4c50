"""The run table as a model sees it: learning curves, padded to one array.

A *curve* is all that one training run shows of one language: its checkpoints, in order of tokens. Every covariate of a
row becomes an array ``(run, step)`` with one line per curve; shorter curves are padded by repeating their last
checkpoint (so that every law stays finite there) and masked out of the likelihood. Sizes are divided by reference
scales, their geometric means in the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayes_atlas.errors import InputError
from bayes_atlas.runs import co_sampled_sources

CLOSEST = 1e-3  # log-ratio of tokens below which two checkpoints count as this far apart
USEFUL_EPOCHS = 4.0  # passes over the data up to which repetition is nearly as good as new (Muennighoff et al. 2023)
SAME_SIZE = 0.02  # models whose numbers of parameters are this close, in logs, have the same size


class Group(NamedTuple):
    """Which of some groups (languages, model sizes) each curve belongs to. A JAX pytree."""

    of_curve: jax.Array  # (run,)
    members: jax.Array  # (group, m) the curves of each group, padded with any index
    is_member: jax.Array  # (group, m) 1 where `members` counts, else 0

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.members.shape[0]

    def spread(self, values: jax.Array) -> jax.Array:
        """Give each curve its group's value: ``(group, ...)`` to ``(run, 1, ...)``, ready to meet steps."""
        return _spread(values, self)[:, None]

    @classmethod
    def of(cls, index: np.ndarray) -> "Group":
        """Group curves by `index` ``(run,)``, which counts from 0 without gaps."""
        by_group = [np.flatnonzero(index == group) for group in range(index.max() + 1)]
        members = np.zeros((len(by_group), max(map(len, by_group))), dtype=np.int32)
        is_member = np.zeros(members.shape)
        for group, curves in enumerate(by_group):
            members[group, : len(curves)] = curves
            is_member[group, : len(curves)] = 1
        return cls(jnp.asarray(index, dtype=jnp.int32), jnp.asarray(members), jnp.asarray(is_member))


class Curves(NamedTuple):
    """Layout of the curves: what they share, and which steps were observed. A JAX pytree."""

    language: Group
    size: Group  # runs of the same number of parameters
    observed: jax.Array  # (run, step) whether the step is a checkpoint or padding
    stage: jax.Array  # (run, step) log of the run's last tokens over this step's: 0 at the end, larger before
    epochs: jax.Array | None  # (run, step) log of the passes over the own unique tokens; None where nothing repeats

    @property
    def languages(self) -> int:
        """Number of languages."""
        return self.language.groups

    @property
    def repeated(self) -> bool:
        """Whether any curve has more than one step."""
        return self.observed.shape[1] > 1

    def persistence(self, memory: jax.Array) -> jax.Array:
        """Correlation of each step with the one before, ``(run, step)``: exp(-log-ratio of their tokens / memory)."""
        apart = jnp.maximum(self.stage[:, :-1] - self.stage[:, 1:], CLOSEST)
        return jnp.pad(jnp.exp(-apart / memory), ((0, 0), (1, 0)))

    def by_language(self, values: jax.Array) -> jax.Array:
        """Give each curve its language's value: ``(language, ...)`` to ``(run, 1, ...)``."""
        return self.language.spread(values)


@jax.custom_vjp
def _spread(values: jax.Array, group: Group) -> jax.Array:
    return values[group.of_curve]


def _spread_forward(values: jax.Array, group: Group) -> tuple[jax.Array, Group]:
    return values[group.of_curve], group


def _spread_backward(group: Group, gradient: jax.Array) -> tuple[jax.Array, None]:
    # The gradient of a gather is a scatter-add, slow on every backend; summing a group's own curves is not.
    weights = group.is_member.reshape(group.is_member.shape + (1,) * (gradient.ndim - 1))
    return (gradient[group.members] * weights).sum(axis=1), None


_spread.defvjp(_spread_forward, _spread_backward)


@dataclass(frozen=True)
class ModelData:
    """What a model is fitted to: covariates by name, the observed loss, and the names behind every index."""

    covariates: dict[str, object]  # arrays (run, step[, source]) in units of their reference, and `curves`
    loss: np.ndarray  # (run, step), padding repeats the last checkpoint
    coords: dict[str, list[str]]  # language, run (one per curve), source
    references: dict[str, dict[str, float]]  # language -> {"params": N0, "tokens": D0}
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)  # language -> its named sources, by rank

    @property
    def rows(self) -> int:
        """Number of checkpoints observed."""
        return int(np.asarray(self.curves.observed).sum())

    @property
    def curves(self) -> Curves:
        """The layout."""
        curves = self.covariates["curves"]
        assert isinstance(curves, Curves)
        return curves


def arrange(runs: xr.Dataset, wanted: Sequence[str], *, sources: int | None = None) -> ModelData:
    """Arrange a run table for a model.

    Args:
        runs: a run table, from `read_runs`.
        wanted: the covariates the model asks for: any of ``params tokens unique``, ``source_tokens source_unique
            other_tokens other_unique`` (named sources on a last axis; all the rest lumped as *other*), any other
            numeric column of the table, and ``curves``. Those that say nothing are None: ``..unique`` where nothing
            repeats, ``source_tokens`` or ``other_tokens`` where there are none.
        sources: how many named sources each language has (the most co-sampled ones); all of them where None.

    Raises:
        InputError: a wanted covariate is no column of the table; the message lists those there are.
    """
    language_names = list(dict.fromkeys(runs["language"].values.tolist()))
    layout = _Layout.of(runs, language_names)
    references = _references(runs, language_names)
    tokens_unit = np.array([references[name]["tokens"] for name in runs["language"].to_numpy().tolist()])
    params_unit = references[language_names[0]]["params"]
    columns: dict[str, np.ndarray] = {
        "params": runs["params"].values / params_unit,
        "tokens": runs["tokens"].values / tokens_unit,
        "unique": runs["unique"].values / tokens_unit,
    }
    named = np.empty((len(language_names), 0), dtype=str)
    if any(name.startswith(("source_", "other_")) for name in wanted):
        ranked = co_sampled_sources(runs, sources if sources is not None else runs.sizes["source"] - 1)
        named = ranked.sel(language=language_names).to_numpy()
        named = named[:, (named != "").any(axis=0)]
        columns |= _sources(runs, dict(zip(language_names, named, strict=True)), tokens_unit[:, None])
    covariates: dict[str, object] = {}
    for name in wanted:
        if name == "curves":
            covariates[name] = layout.curves(runs)
        elif name in columns and _says_nothing(columns, name):
            covariates[name] = None
        elif name in columns:
            covariates[name] = jnp.asarray(columns[name][layout.row])
        elif name in runs and runs[name].dims == ("row",) and np.issubdtype(runs[name].dtype, np.number):
            covariates[name] = jnp.asarray(runs[name].values.astype(float)[layout.row])
        else:
            numeric = [str(n) for n in runs if runs[n].dims == ("row",)]
            raise InputError(
                f"the model asks for {name!r}, which the run table does not have; add a column {name}, or change the "
                f"model to use some of: {', '.join(sorted({*columns, *numeric, 'curves'}))}"
            )
    return ModelData(
        covariates=covariates,
        loss=runs["loss"].values[layout.row],
        coords={
            "language": language_names,
            "run": layout.labels,
            "source": [str(rank + 1) for rank in range(named.shape[1])],
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

    def curves(self, runs: xr.Dataset) -> Curves:
        tokens = runs["tokens"].to_numpy()[self.row]
        epochs = np.maximum(tokens / runs["unique"].to_numpy()[self.row], 1.0)
        log_params = np.log(runs["params"].to_numpy()[self.row[:, -1]])
        _, size = np.unique(np.round(log_params / SAME_SIZE), return_inverse=True)
        return Curves(
            language=Group.of(self.language),
            size=Group.of(size),
            observed=jnp.asarray(self.observed),
            stage=jnp.asarray(np.log(tokens[:, -1:] / tokens)),
            epochs=jnp.asarray(np.log(epochs)) if (epochs > 1).any() else None,
        )


def _sources(runs: xr.Dataset, named: Mapping[str, np.ndarray], unit: np.ndarray) -> dict[str, np.ndarray]:
    """Tokens and unique tokens of each row's named sources (row, slot) and of all its other sources together (row,)."""
    names = runs["source"].to_numpy().tolist()
    absent = len(names)  # a source nobody trains on, for languages with fewer named sources than others
    position = {name: index for index, name in enumerate(names)}
    tokens = np.pad(runs["source_tokens"].to_numpy() / unit, ((0, 0), (0, 1)))
    unique = np.pad(runs["source_unique"].to_numpy() / unit, ((0, 0), (0, 1)), constant_values=np.inf)
    slots = {language: [position.get(name, absent) for name in sources] for language, sources in named.items()}
    chosen = np.array([slots[language] for language in runs["language"].to_numpy().tolist()], dtype=int)
    own = np.array([position[name] for name in runs["own"].to_numpy().tolist()])
    rest = tokens > 0
    rows = np.arange(len(tokens))
    rest[rows[:, None], chosen] = False
    rest[rows, own] = False
    return {
        "source_tokens": np.take_along_axis(tokens, chosen, axis=1),
        "source_unique": np.take_along_axis(unique, chosen, axis=1),
        "other_tokens": np.where(rest, tokens, 0.0).sum(axis=1),
        "other_unique": np.where(rest.any(axis=1), np.where(rest, unique, 0.0).sum(axis=1), np.inf),
    }


def _references(runs: xr.Dataset, language_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Geometric means of the sizes of all runs, and of each language's own tokens, repeated ones up to `USEFUL_EPOCHS`.

    Where a language's loss has stopped falling with repetition, a reference far beyond would tie all its parameters
    together.
    """
    params = _geometric_mean(runs["params"].to_numpy())
    useful = np.minimum(runs["tokens"].to_numpy(), USEFUL_EPOCHS * runs["unique"].to_numpy())
    language = runs["language"].to_numpy()
    return {name: {"params": params, "tokens": _geometric_mean(useful[language == name])} for name in language_names}


def _says_nothing(columns: Mapping[str, np.ndarray], name: str) -> bool:
    """Whether a covariate may be left out: unique tokens where none repeat, source tokens where there are none."""
    if name.endswith("unique"):
        return not (columns[name.replace("unique", "tokens")] > columns[name]).any()
    return name in ("source_tokens", "other_tokens") and not columns[name].any()


def _geometric_mean(values: np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))
