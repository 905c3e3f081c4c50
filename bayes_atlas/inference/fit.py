"""Fit a model to a run table: arrange, sample, check, and record everything a later reader needs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from bayes_atlas.catalogue import NameOrPath
from bayes_atlas.errors import InputError
from bayes_atlas.inference.calls import counted, keyworded, prior_draws_of
from bayes_atlas.inference.evaluate import log_prior
from bayes_atlas.inference.prepare import NAMED_SOURCES, Prepared, Selection, Task, check_alike
from bayes_atlas.inference.record import Without, identity_of, recorded, without
from bayes_atlas.observations.curves import Shape
from bayes_atlas.posterior import Posterior, load_posterior
from bayes_atlas.sampler import Checkpoint, Progress, Settings, sample, sample_many
from bayes_atlas.sampler.platforms import keep_compiled, precision, use_platform

type Report = Callable[[Progress], None]


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
            tau from it (see `bayes_atlas.inference.tau_prior`), the others keep that of the model.
        chains, warmup, draws, seed, target_accept, max_tree_depth: of NUTS; `warmup` and `draws` per chain.
        platform: ``cpu``, ``gpu`` or ``tpu``.
        keep: draws per chain to keep, evenly spaced; checks are of all.
        with_data: keep the run table and the pointwise log likelihood with the posterior.
        title: one line that says what this posterior is.
        report: called after each block of draws.
        checkpoint: folder in which to keep what was sampled so far; removed when the fit is done and was not
            interrupted.
        resume: go on with the fit in `checkpoint`; the draws are those of a fit that was never interrupted.
        compile_cache: keep compiled programs for later processes (see `bayes_atlas.sampler.platforms.keep_compiled`).

    Raises:
        InputError: the model does not fit the table, or a setting is out of range.
        ModelError: the model file cannot be used.
    """
    settings = Settings(chains, warmup, draws, seed, target_accept, max_tree_depth)
    task = Task.of(model, keep, with_data, settings, platform)
    if resume and checkpoint is None:
        raise InputError("there is nothing to resume without a checkpoint; give the folder of the fit to go on with")
    table = Prepared.of(runs, task, Selection(languages, by, sources, others, all_tokens))
    if tau_from is not None:
        table = table.with_tau(load_posterior(tau_from), task)
    use_platform(platform)
    if compile_cache:
        keep_compiled()
    with precision(platform):
        data = table.data.packed()
        kept = None if checkpoint is None else Checkpoint(Path(checkpoint), identity_of(task, data), resume=resume)
        sampled = sample(keyworded(task.module.model), data, settings, report, kept)
        prior = prior_draws_of(task.module.model)(jax.random.PRNGKey(seed), *data)
        posterior = recorded(task, table, sampled, title=title, prior=prior)
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
    task = Task.of(model, keep, with_data, settings, platform)
    selection = Selection(languages, by, sources, others, all_tokens)
    prepared = [Prepared.of(runs, task, selection) for runs in tables]
    check_alike(prepared)
    use_platform(platform)
    if compile_cache:
        keep_compiled()
    with precision(platform):
        shape = reduce(Shape.join, (table.runs.curves.shape for table in prepared)).rounded()
        data = [table.runs.padded(shape) for table in prepared]
        sampled = sample_many(keyworded(task.module.model), data, settings, report)
        return [recorded(task, table, draws) for table, draws in zip(prepared, sampled, strict=True)]


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
    task = Task.of(model, None, True, settings, platform)
    data = Prepared.of(runs, task, Selection((), (), sources, True, False)).runs
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
        sampled = sample_many(counted(task.module.model), [(*packed, each) for each in counts], settings, report)
        return [without(task, data, draws) for draws in sampled]
