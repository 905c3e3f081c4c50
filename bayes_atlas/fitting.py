"""Fit a model to a run table: arrange, sample, check, and record everything a later reader needs."""

import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, reduce
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import arviz as az
import jax
import numpy as np
import xarray as xr
from numpyro.infer import Predictive

from bayes_atlas.catalogue import NameOrPath, covariates_of, find_model, layout_of, load_model, observed_by
from bayes_atlas.crossings import CrossingData, arrange_crossings
from bayes_atlas.curves import STARTED, ModelData, Shape, arrange
from bayes_atlas.diagnostics import named_checks
from bayes_atlas.errors import InputError
from bayes_atlas.laws import get_law
from bayes_atlas.pairs import PairData, arrange_pairs
from bayes_atlas.platforms import keep_compiled, precision, use_platform
from bayes_atlas.posterior import Info, Posterior, Runs, Sampling, load_posterior, thin
from bayes_atlas.priors import tau_prior
from bayes_atlas.replay import log_prior
from bayes_atlas.runs import SCRATCH, count_all_tokens, group_runs
from bayes_atlas.sampler import Checkpoint, Counted, Draws, Progress, Settings, digest, sample, sample_many
from bayes_atlas.staleness import probe

NAMED_SOURCES = 3  # as in the paper
PRIOR_DRAWS = 500
RECORDED = ("bayes-atlas", "jax", "jaxlib", "numpyro", "arviz", "xarray", "numpy")
KINDS = {  # layout -> variable of its table, reader
    "curves": ("loss", "read_runs"),
    "pairs": ("score", "read_scores"),
    "crossings": ("crossover", "read_crossings"),
}

type Report = Callable[[Progress], None]
type Arranged = ModelData | PairData | CrossingData


class UnlikeError(InputError):
    """Tables that one program cannot serve."""


def _silent(progress: Progress) -> None:
    pass


def fit(
    runs: xr.Dataset,
    model: NameOrPath = "atlas",
    *,
    languages: Sequence[str] = (),
    by: Sequence[str] = (),
    sources: int = NAMED_SOURCES,
    others: bool = True,
    all_tokens: bool = False,
    tau_from: NameOrPath | None = None,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int = 0,
    target_accept: float = 0.9,
    max_tree_depth: int = 10,
    platform: str = "cpu",
    keep: int | None = None,
    with_data: bool = True,
    title: str | None = None,
    report: Report = _silent,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    compile_cache: bool = True,
) -> Posterior:
    """Sample the posterior of `model` given `runs`.

    Where chains diverge, sampling is repeated with smaller steps and other centring before it is given up on. An
    interrupt (SIGINT) while it draws gives the posterior of the draws there are (``info.sampling.interrupted``).

    Args:
        runs: a run table, from `read_runs`; for a model of transfer scores a score table, from `read_scores`.
        model: name of a shipped model, or path of a model file; **loading a file executes
            it**. Its layout says what kind of table it takes.
        languages: those whose losses to fit, all of them by default; the others stay as sources.
        by: labels (``vocabulary``, ``mixture``, ..) whose values get parameters of their own, as ``language:label``.
        sources: how many named sources each language has, the most co-sampled ones (models with transfer).
        others: whether all the rest counts too. The ablations of the paper's Table 1 are no sources and no others,
            no sources, and both.
        all_tokens: whether every training token counts as the language's own (`count_all_tokens`).
        tau_from: a posterior of bilingual transfer scores; named sources that it has scores of take their prior of
            tau from it (see `bayes_atlas.priors`), the others keep that of the model.
        chains, warmup, draws, seed, target_accept, max_tree_depth: of NUTS; `warmup` and `draws` per chain.
        platform: ``cpu``, ``gpu`` or ``tpu``.
        keep: draws per chain to keep, evenly spaced; checks are of all.
        with_data: keep the run table and the pointwise log likelihood with the posterior.
        title: one line that says what this posterior is.
        report: called after each block of draws.
        checkpoint: folder in which to keep what was sampled so far; removed when the fit is done and was not
            interrupted.
        resume: go on with the fit in `checkpoint`; the draws are those of a fit that was never interrupted.
        compile_cache: keep compiled programs for later processes (see `bayes_atlas.platforms.keep_compiled`).

    Raises:
        InputError: the model does not fit the table, or a setting is out of range.
        ModelError: the model file cannot be used.
    """
    settings = Settings(chains, warmup, draws, seed, target_accept, max_tree_depth)
    task = _Task.of(model, keep, with_data, settings, platform)
    if resume and checkpoint is None:
        raise InputError("there is nothing to resume without a checkpoint; give the folder of the fit to go on with")
    table = _Table.of(runs, task, _Selection(languages, by, sources, others, all_tokens))
    if tau_from is not None:
        table = table.with_tau(load_posterior(tau_from), task)
    use_platform(platform)
    if compile_cache:
        keep_compiled()
    with precision(platform):
        data = table.data.packed()
        kept = None if checkpoint is None else Checkpoint(Path(checkpoint), _identity(task, data), resume=resume)
        sampled = sample(_keyworded(task.module.model), data, settings, report, kept)
        prior = _prior_of(task.module.model)(jax.random.PRNGKey(seed), *data)
        posterior = _posterior(task, table, sampled, title=title, prior=prior)
        densities = log_prior(task.module.model, data[0], posterior.draws["posterior"].to_dataset())
        posterior = replace(posterior, draws=posterior.draws.assign({"log_prior": xr.DataTree(densities)}))
    if kept is not None and not sampled.interrupted:
        kept.remove()
    return posterior


def fit_many(
    tables: Sequence[xr.Dataset],
    model: NameOrPath = "atlas",
    *,
    languages: Sequence[str] = (),
    by: Sequence[str] = (),
    sources: int = NAMED_SOURCES,
    others: bool = True,
    all_tokens: bool = False,
    chains: int = 4,
    warmup: int = 600,
    draws: int = 500,
    seed: int = 0,
    target_accept: float = 0.9,
    max_tree_depth: int = 10,
    platform: str = "cpu",
    keep: int | None = None,
    with_data: bool = False,
    report: Report = _silent,
    compile_cache: bool = True,
) -> list[Posterior]:
    """Sample the posterior of one `model` given each of many `tables`, all in one compiled program.

    For simulation studies, folds and designs. Tables must have the same number of languages and agree in what they
    have: repetition, other sources. Each is sampled once: look at its `failed_checks`. Arguments are as in `fit`.

    Raises:
        InputError: as `fit`; `UnlikeError` where tables differ in structure.
    """
    settings = Settings(chains, warmup, draws, seed, target_accept, max_tree_depth)
    task = _Task.of(model, keep, with_data, settings, platform)
    selection = _Selection(languages, by, sources, others, all_tokens)
    prepared = [_Table.of(runs, task, selection) for runs in tables]
    _check_alike(prepared)
    use_platform(platform)
    if compile_cache:
        keep_compiled()
    with precision(platform):
        shape = reduce(Shape.join, (table.runs.curves.shape for table in prepared)).rounded()
        data = [table.runs.padded(shape) for table in prepared]
        sampled = sample_many(_keyworded(task.module.model), data, settings, report)
        return [_posterior(task, table, draws) for table, draws in zip(prepared, sampled, strict=True)]


class Without(NamedTuple):
    """What a fit that left some curves out says of all of them."""

    log_likelihood: xr.DataArray  # (chain, draw, run), of the curves left out too
    failed_checks: list[str]  # of the sampling


def fit_without(
    runs: xr.Dataset,
    model: NameOrPath = "atlas",
    *,
    curves: Sequence[Collection[str]],
    sources: int = NAMED_SOURCES,
    chains: int = 4,
    warmup: int = 600,
    draws: int = 500,
    seed: int = 0,
    platform: str = "cpu",
    report: Report = _silent,
    compile_cache: bool = True,
) -> list[Without]:
    """Sample `model` given `runs` without some curves, for each of several sets of them, in one compiled program.

    It is the model of the whole table, with all its languages, sources and model sizes and in its units: only
    the likelihood of those curves is left out. Each set is sampled once: look at its `failed_checks`.

    Args:
        runs, model, sources, platform, report, compile_cache: as of `fit`.
        curves: the labels of the curves left out each time, as in the coordinate ``run`` of what `fit` returns.
        chains, warmup, draws, seed: of the sampler, as of `fit_many`.

    Raises:
        InputError: as `fit`; a curve that there is not.
    """
    settings = Settings(chains, warmup, draws, seed)
    task = _Task.of(model, None, True, settings, platform)
    data = _Table.of(runs, task, _Selection((), (), sources, True, False)).runs
    labels = data.coords["run"]
    if unknown := sorted({label for each in curves for label in each} - set(labels)):
        raise InputError(
            f"{runs.attrs['name']} has no curve {unknown[0]!r}; name some of: {', '.join(labels[:10])}, .."
        )
    use_platform(platform)
    if compile_cache:
        keep_compiled()
    with precision(platform):
        packed = data.packed()
        counts = np.zeros((len(curves), len(packed[1])))
        counts[:, : len(labels)] = [~np.isin(labels, list(each)) for each in curves]
        sampled = sample_many(_counted(task.module.model), [(*packed, each) for each in counts], settings, report)
        return [_without(task, data, draws) for draws in sampled]


@dataclass(frozen=True)
class _Task:
    """What to do with each table."""

    model: str  # by which the posterior finds it again
    path: Path
    module: ModuleType
    law: str
    settings: Settings
    platform: str
    kept: int  # draws per chain
    with_data: bool
    began: float

    @classmethod
    def of(cls, model: NameOrPath, keep: int | None, with_data: bool, settings: Settings, platform: str) -> "_Task":
        if keep is not None and keep < 1:
            raise InputError(f"keep is {keep}; it must be at least 1, or None for all draws")
        path = find_model(model)
        module = _loaded(path, hashlib.sha256(path.read_bytes()).hexdigest())
        return cls(
            model=path.stem if str(model) == path.stem else str(model),
            path=path,
            module=module,
            law=_law_of(module, path),
            settings=settings,
            platform=platform,
            kept=settings.draws if keep is None else min(keep, settings.draws),
            with_data=with_data,
            began=time.monotonic(),
        )


@lru_cache(maxsize=64)
def _loaded(path: Path, sha256: str) -> ModuleType:
    """A model file, executed once for each text of it: compiled programs are found by the function it defines."""
    return load_model(path)


@dataclass(frozen=True)
class _Selection:
    """What of a run table is fitted."""

    languages: Sequence[str]
    by: Sequence[str]
    sources: int
    others: bool
    all_tokens: bool

    def __post_init__(self) -> None:
        if self.sources < 0:
            raise InputError(f"sources is {self.sources}; give a count of at least 0, such as {NAMED_SOURCES}")


@dataclass(frozen=True)
class _Table:
    """A table as it is fitted."""

    name: str
    sha256: str
    left_out: dict[str, int]  # reason -> rows
    ranges: dict[str, tuple[float, float]]
    data: Arranged
    tau_from: str = ""

    @classmethod
    def of(cls, runs: xr.Dataset, task: _Task, selection: _Selection) -> "_Table":
        wanted, layout = covariates_of(task.module.model), layout_of(task.path)
        _check_kind(runs, layout, task.model)
        name, sha256 = runs.attrs["name"], runs.attrs["sha256"]
        if layout != "curves":
            if selection.languages or selection.by:
                raise InputError(f"languages and by choose among runs, and {name} is no run table; leave them out")
            measured = arrange_pairs(runs) if layout == "pairs" else arrange_crossings(runs)
            return cls(name, sha256, {}, {}, measured)
        fitted, left_out = _select(runs, selection.languages, every_start=STARTED in wanted)
        fitted = group_runs(fitted, selection.by) if selection.by else fitted
        fitted = count_all_tokens(fitted) if selection.all_tokens else fitted
        arranged = arrange(fitted, wanted, sources=selection.sources, others=selection.others)
        return cls(name, sha256, left_out, _ranges(fitted), arranged)

    def with_tau(self, scores: Posterior, task: _Task) -> "_Table":
        """With the prior of tau that a posterior of transfer scores gives."""
        if "tau_prior" not in covariates_of(task.module.model):
            raise InputError(
                f"model {task.model} has no tau to take from {scores.name}; leave tau_from out, or fit atlas"
            )
        prior = tau_prior(scores, self.data.sources)
        data = replace(self.runs, covariates=self.runs.covariates | {"tau_prior": prior})
        return replace(self, data=data, tau_from=f"{scores.name} sha256:{scores.info.draws_sha256}")

    @property
    def runs(self) -> ModelData:
        """What there is of a run table."""
        if not isinstance(self.data, ModelData):
            raise InputError(f"{self.name} is no run table, and only run tables are fitted together; fit it alone")
        return self.data


def _check_kind(table: xr.Dataset, layout: str, model: str) -> None:
    """That a table is of the kind that a model takes."""
    kind, reader = KINDS[layout]
    if kind not in table:
        given = next((name for name in KINDS.values() if name[0] in table), ("", "another table"))
        raise InputError(f"model {model} takes a table from {reader}, this is from {given[1]}; choose another model")


def _check_alike(tables: Sequence[_Table]) -> None:
    """That one program can serve all tables."""
    if not tables:
        raise InputError("there are no tables to fit; give at least one")
    first = tables[0].runs
    for number, table in enumerate(tables):
        if len(table.data.languages) != len(first.languages):
            raise UnlikeError(
                f"table {number} ({table.name}) has {len(table.data.languages)} languages, the first has "
                f"{len(first.languages)}; fit tables of as many languages together"
            )
        for name, values in table.data.covariates.items():
            if _kind(values) != _kind(first.covariates[name]):
                raise UnlikeError(
                    f"table {number} ({table.name}) differs from the first in {name}, which only one of them has or in "
                    f"how many sources it has; fit them apart"
                )
        if (table.runs.curves.epochs is None) != (first.curves.epochs is None):
            raise UnlikeError(f"table {number} ({table.name}) and the first do not both repeat data; fit them apart")


def _kind(values: object) -> object:
    return values.shape[2:] if isinstance(values, np.ndarray) else values is None


def _posterior(
    task: _Task, table: _Table, sampled: Draws, *, title: str | None = None, prior: Mapping[str, Any] | None = None
) -> Posterior:
    data, settings = table.data, task.settings
    tree = _tree(sampled, data, prior)
    drawn = tree["posterior"].sizes["draw"]
    kept = min(task.kept, drawn)
    checks = named_checks(tree, settings.max_tree_depth, blamed=_named(sampled.blamed, sampled.dims, data))
    tree = thin(_slim(tree, task.with_data), kept)
    if hasattr(task.module, "IMPUTED"):
        tree = _imputed(task, data, tree)
    return Posterior(
        draws=tree,
        info=Info(
            title=title or f"{task.path.stem} fitted to {table.name}",
            model=task.model,
            model_sha256=hashlib.sha256(task.path.read_bytes()).hexdigest(),
            law=task.law,
            languages=data.languages,
            sources={language: [name for name in names if name] for language, names in data.sources.items()},
            tau_from=table.tau_from,
            references=data.references,
            runs=Runs(
                name=table.name,
                sha256=table.sha256,
                rows=data.rows,
                curves=len(data.coords["run" if "run" in data.coords else "dyad"]),
                left_out=table.left_out,
                ranges=table.ranges,
            ),
            sampling=Sampling(
                chains=settings.chains,
                warmup=settings.warmup,
                draws=drawn,
                kept=kept,
                interrupted=sampled.interrupted,
                seed=settings.seed,
                target_accept=sampled.target_accept,
                max_tree_depth=settings.max_tree_depth,
                platform=task.platform,
                seconds=round(time.monotonic() - task.began, 1),
            ),
            checks=checks,
            staleness=probe(task.module, tree, data),
            versions={name: importlib.metadata.version(name) for name in RECORDED},
            created=datetime.now(UTC).replace(microsecond=0),
        ),
        name="this posterior",
    )


def _without(task: _Task, data: ModelData, sampled: Draws) -> Without:
    tree = _tree(sampled, data, None)
    checks = named_checks(tree, task.settings.max_tree_depth)
    return Without(
        tree["log_likelihood"].to_dataset()["log_loss"], [check.name for check in checks if not check.passed]
    )


def _identity(task: _Task, data: Any) -> dict[str, str]:
    """What a run that is resumed must have in common with the one that was begun."""
    return {
        "run table": digest([np.asarray(leaf) for leaf in jax.tree.leaves(data)]),
        "model": hashlib.sha256(task.path.read_bytes()).hexdigest(),
        "setting of the sampler": repr(task.settings),
        "platform": task.platform,
    } | {f"version of {name}": importlib.metadata.version(name) for name in ("bayes-atlas", "jax", "numpyro")}


@lru_cache(maxsize=64)
def _keyworded(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model as the sampler calls it; the same one for the same model, by which compiled programs are found."""

    def call(covariates: dict[str, Any], observed: Any) -> Any:
        return model(**covariates, **{observed_by(model): observed})

    return call


@lru_cache(maxsize=64)
def _counted(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model as the sampler calls it, that is told which curves count."""

    def call(covariates: dict[str, Any], observed: Any, counts: jax.Array) -> Any:
        return Counted(_keyworded(model), counts)(covariates, observed)

    return call


def _named(places: Sequence[tuple[str, tuple[int, ...]]], dims: Mapping[str, Sequence[str]], data: Arranged) -> str:
    """Parameters by the names behind their indices, such as ``alpha[sw]``."""
    named = []
    for site, index in places:
        labels = [
            data.coords[dim][at] if data.coords.get(dim) else str(at)
            for dim, at in zip(dims[site], index, strict=False)
        ]
        named.append(f"{site}[{', '.join(labels)}]" if labels else site)
    return ", ".join(named)


def _law_of(module: ModuleType, path: Path) -> str:
    law = getattr(module, "LAW", None)
    if not isinstance(law, str):
        raise InputError(f"{path} does not name its law; add a line such as LAW = 'chinchilla'")
    get_law(law)
    return law


def _select(runs: xr.Dataset, languages: Sequence[str], *, every_start: bool) -> tuple[xr.Dataset, dict[str, int]]:
    """Rows to fit: of the `languages` asked for, and of runs from scratch, which is what most laws describe.

    Also how many rows each of the two conditions left out.
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
        "are of other languages": int((~wanted).sum()),
        "started from a checkpoint": int((wanted & ~scratch).sum()),
    }
    return runs.isel(row=wanted & scratch), {reason: rows for reason, rows in left_out.items() if rows}


def _ranges(runs: xr.Dataset) -> dict[str, tuple[float, float]]:
    columns = {name: runs[name].to_numpy() for name in ("params", "tokens", "compute")}
    columns["epochs"] = columns["tokens"] / np.minimum(runs["unique"].to_numpy(), columns["tokens"])
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


def _tree(sampled: Draws, data: Arranged, prior: Mapping[str, Any] | None) -> xr.DataTree:
    def own(name: str, values: Any) -> np.ndarray:
        """Without model sizes that only other tables have, and without the curves that pad the program."""
        if isinstance(data, ModelData):
            for dim, count in (("size", data.curves.size.groups), ("run", len(data.coords["run"]))):
                if dim in sampled.dims[name]:
                    at = sampled.dims[name].index(dim) - len(sampled.dims[name])
                    values = np.take(values, range(count), axis=at)
        return np.asarray(values)

    groups = {"posterior": {name: own(name, values) for name, values in sampled.sites.items()}}
    if prior is not None:
        groups["prior"] = {name: own(name, prior[name])[None] for name in sampled.sites}
    described, dims = data.described(sampled.log_likelihood)
    return az.from_dict(
        groups | {"sample_stats": sampled.stats} | described,
        coords={name: values for name, values in data.coords.items() if values},
        dims=sampled.dims | dims,
    )


def _imputed(task: _Task, data: Arranged, tree: xr.DataTree) -> xr.DataTree:
    """With what the model's `impute` draws, given each stored draw, of the sites in its ``IMPUTED`` (name -> dims)."""
    stored = tree["posterior"].to_dataset()
    chains, draws = stored.sizes["chain"], stored.sizes["draw"]
    sites = {str(name): values.to_numpy().astype(float) for name, values in stored.items()}
    covariates, observed = data.packed()

    def each(key: jax.Array, sites: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return task.module.impute(key, **covariates, **{observed_by(task.module.model): observed, "sites": sites})

    keys = jax.random.split(jax.random.PRNGKey(task.settings.seed), (chains, draws))
    drawn = jax.jit(jax.vmap(jax.vmap(each)))(keys, sites)
    dims = task.module.IMPUTED
    more = {name: (("chain", "draw", *dims[name]), np.asarray(values, np.float32)) for name, values in drawn.items()}
    stored = stored.assign_coords({dim: data.coords[dim] for name in dims for dim in dims[name]}).assign(more)
    return tree.assign({"posterior": xr.DataTree(stored)})


@lru_cache(maxsize=64)
def _prior_of(model: Callable[..., Any]) -> Callable[..., dict[str, jax.Array]]:
    """Draws of a model's prior."""
    return jax.jit(Predictive(_keyworded(model), num_samples=PRIOR_DRAWS))


def _slim(tree: xr.DataTree, with_data: bool) -> xr.DataTree:
    """Single precision, which is far finer than the Monte Carlo error; without what describes single runs if asked."""
    dropped = () if with_data else ("log_likelihood", "observed_data", "constant_data")
    kept = {
        path.strip("/"): group.to_dataset().map(lambda v: v.astype(np.float32) if v.dtype == np.float64 else v)
        for path, group in tree.subtree_with_keys
        if path != "." and path not in dropped
    }
    return xr.DataTree.from_dict(kept)
