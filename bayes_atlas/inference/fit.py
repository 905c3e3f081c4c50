"""Fit a model to a table: arrange the table, sample, check the draws, and record the fit."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Unpack

import jax
import numpy as np
import xarray as xr

from bayes_atlas.catalogue import NameOrPath
from bayes_atlas.errors import InputError
from bayes_atlas.inference.calls import counted, keyworded, prior_draws_of
from bayes_atlas.inference.evaluate import log_prior
from bayes_atlas.inference.model_error import with_law_error
from bayes_atlas.inference.options import FitOptions, Options
from bayes_atlas.inference.prepare import Prepared, Task, check_alike
from bayes_atlas.inference.record import Without, identity_of, judged, packed, recorded, without
from bayes_atlas.observations.curves import Shape
from bayes_atlas.observations.kind import Observations
from bayes_atlas.posterior import Posterior, load_posterior
from bayes_atlas.sampler.checkpoint import Checkpoint
from bayes_atlas.sampler.driver import Judges, sample, sample_many
from bayes_atlas.sampler.platforms import keep_compiled, precision, use_platform


def fit(
    table: xr.Dataset,
    model: NameOrPath = "atlas",
    *,
    tau_from: NameOrPath | None = None,
    title: str | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **options: Unpack[FitOptions],
) -> Posterior:
    """Sample the posterior of `model` given `table`.

    Unless `draws` fixes their number, chains draw in rounds until the checks of the sampling pass, at most 10,000 draws
    per chain and `max_minutes`. The sampler is adapted again where that helps, and earlier draws are dropped then
    (``info.sampling.attempts``, ``dropped``). The stored posterior has 1000 evenly spaced draws per chain at most. If
    chains diverge, sampling is repeated with smaller steps and other centring. After an interrupt (SIGINT) during
    drawing, the posterior has the draws taken so far (``info.sampling.interrupted``).

    Args:
        table: a run table, from `read_runs`; for other models a score table, from `read_scores`, or a table of
            crossovers, from `read_crossings`.
        model: name of a shipped model, or path of a model file; **loading a file executes it**. The model's covariates
            determine the kind of table.
        tau_from: a posterior of bilingual transfer scores. Named sources with scores take their prior of tau from it
            (see `bayes_atlas.inference.tau_prior`); the others keep the model's prior.
        title: one line that describes the posterior.
        checkpoint: folder for the draws taken so far. It stays, so that nothing is lost before the posterior is saved;
            then remove it. A fit that does not resume empties it. One process at a time may use it.
        resume: continue the fit in `checkpoint`; the draws equal those of an uninterrupted fit.
        options: options of the runs and the sampler; see `bayes_atlas.inference.options.FitOptions`.

    Raises:
        InputError: the model does not fit the table, or a setting is out of range.
        ModelError: the model file cannot be used.
    """
    task = Task.of(model, Options.of(**options))
    if resume and checkpoint is None:
        raise InputError("there is nothing to resume without a checkpoint; give the folder of the fit to continue")
    prepared = Prepared.of(table, task)
    if tau_from is not None:
        prepared = prepared.with_tau(load_posterior(tau_from), task)
    settings = task.options.settings
    _start(task)
    with precision(task.options.platform):
        data = packed(prepared.data)
        judge = partial(judged, task, prepared.data)
        with ExitStack() as stack:
            kept = None
            if checkpoint is not None:
                kept = stack.enter_context(Checkpoint(Path(checkpoint), identity_of(task, data), resume=resume))
            sampled = sample(keyworded(task.model), data, settings, task.options.report, kept, judge)
        prior = prior_draws_of(task.model)(jax.random.PRNGKey(settings.seed), *data)
        posterior = recorded(task, prepared, sampled, title=title, prior=prior)
        densities = log_prior(task.model.function, data[0], posterior.draws["posterior"].to_dataset())
        posterior = replace(posterior, draws=posterior.draws.assign({"log_prior": xr.DataTree(densities)}))
        if task.options.law_error:
            posterior = with_law_error(posterior, prepared.data)
    return posterior


def fit_many(
    tables: Sequence[xr.Dataset], model: NameOrPath = "atlas", **options: Unpack[FitOptions]
) -> list[Posterior]:
    """Sample the posterior of one `model` for each of many run tables, all in one compiled program.

    This serves simulation studies, folds and designs. All tables must have the same number of languages, and the same
    structure: all or none repeat data, and all or none have other sources. A table whose checks fail is sampled on by
    itself, as by `fit`, unless `draws` fixes the number of draws: then inspect `failed_checks`.

    Args:
        tables: run tables, from `read_runs`.
        model: as in `fit`.
        options: as in `fit`; `with_data` and `law_error` are False by default.

    Raises:
        InputError: as `fit`; `UnlikeError` if tables differ in structure.
    """
    task = Task.of(model, Options.of(**FitOptions(with_data=False, law_error=False) | options))
    prepared = [Prepared.of(table, task) for table in tables]
    check_alike(prepared)
    _start(task)
    with precision(task.options.platform):
        shape = reduce(Shape.join, (table.curves.shape for table in prepared)).rounded()
        data = [table.curves.padded(shape) for table in prepared]
        judge = _judge(task, [table.data for table in prepared])
        sampled = sample_many(keyworded(task.model), data, task.options.settings, task.options.report, judge)
        posteriors = [recorded(task, table, draws) for table, draws in zip(prepared, sampled, strict=True)]
        if not task.options.law_error:
            return posteriors
        pairs = zip(posteriors, prepared, strict=True)
        return [with_law_error(posterior, table.data) for posterior, table in pairs]


def fit_without(
    table: xr.Dataset,
    model: NameOrPath = "atlas",
    *,
    curves: Sequence[Collection[str]],
    **options: Unpack[FitOptions],
) -> list[Without]:
    """Sample `model` without some curves of a run table, for each of several sets of curves, in one compiled program.

    The model is that of the whole table, with all its languages, sources and model sizes, and in its units. Only the
    likelihood of the left-out curves is dropped. Sets whose checks fail are sampled on, as by `fit_many`.

    Args:
        table, model, options: as in `fit`.
        curves: labels of the curves to leave out, for each set; as in the coordinate ``run`` of the result of `fit`.

    Raises:
        InputError: as `fit`; a curve is not in the table.
    """
    task = Task.of(model, Options.of(**options))
    data = Prepared.of(table, task).curves
    labels = data.coords["run"]
    if unknown := sorted({label for each in curves for label in each} - set(labels)):
        raise InputError(
            f"{table.attrs['name']} has no curve {unknown[0]!r}; name some of: {', '.join(labels[:10])}, .."
        )
    _start(task)
    with precision(task.options.platform):
        arrays = packed(data)
        counts = np.zeros((len(curves), len(arrays[1])))
        counts[:, : len(labels)] = [~np.isin(labels, list(each)) for each in curves]
        each_data = [(*arrays, each) for each in counts]
        judge = _judge(task, [data] * len(curves))
        sampled = sample_many(counted(task.model), each_data, task.options.settings, task.options.report, judge)
        return [without(task, data, draws) for draws in sampled]


def _judge(task: Task, tables: Sequence[Observations]) -> Judges | None:
    """Return the judge of several tables; none if the number of draws is fixed, as each is then sampled once."""
    if task.options.settings.draws is not None:
        return None
    return lambda number, sampled: judged(task, tables[number], sampled)


def _start(task: Task) -> None:
    """Choose the platform before jax starts, and turn on the compile cache."""
    use_platform(task.options.platform)
    if task.options.compile_cache:
        keep_compiled()
