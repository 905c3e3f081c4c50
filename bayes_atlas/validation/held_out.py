"""Fit to one part of a run table, score on the other: `validate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import NameOrPath, read_model
from bayes_atlas.data.runs import count_all_tokens, group_runs
from bayes_atlas.errors import InputError
from bayes_atlas.inference.options import Options, RunOptions
from bayes_atlas.observations.kind import RUNS, kind_name
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.baselines import BASELINES, BaselineError, predict_baseline
from bayes_atlas.validation.law_error_beyond import FORMS, SIZES, distance, learned, typical, unlearned, widened
from bayes_atlas.validation.predict import Prediction, predict
from bayes_atlas.validation.proper_scores import Predictive, RowScores, stacking_weights
from bayes_atlas.validation.rows import Fold, from_scratch, known, labels, listed, name_of, part
from bayes_atlas.validation.splits import KEPT_RUNS, SPLITS, few_runs, folds
from bayes_atlas.validation.stack import Stack, crossed_weights


@dataclass(frozen=True)
class Validation:
    """Scores of models on the same held-out rows."""

    holdout: str  # the split, or the name of the test table
    scores: dict[str, RowScores]  # by model, in the order asked for
    n_train: list[int]  # rows fitted, by fold
    left_out: dict[str, int]  # reason -> rows that were neither fitted nor scored
    failed_checks: dict[str, list[str]]  # model -> checks of its sampling that failed in some fold
    discrepancy: dict[str, list[dict[str, float]]]  # model -> by fold and size that it goes beyond, the law's error
    notes: list[str]
    stack: RowScores | None  # of the models' mixture, each run by weights from the others; None for one model, or run

    def summary(self, model: str) -> dict[str, Any]:
        """``rmse``, ``r2``, ``crps``, ``elpd``, ``coverage``, ``width``, ``pit``, ``n_test`` and ``by_language``.

        Coverage and mean width are objects keyed by probability, ``pit`` the share of rows by tenth of it, ``elpd`` the
        sum over rows. ``r2`` is None where the losses do not differ.
        """
        return self.scores[model].summary()

    def weights(self) -> dict[str, float]:
        """Stacking weights from the densities of these rows, which therefore are no score of the stack itself."""
        return stacking_weights({name: rows.log_density for name, rows in self.scores.items()})


def validate(
    runs: xr.Dataset,
    models: Sequence[NameOrPath] = ("atlas",),
    *,
    holdout: str = "random",
    test: xr.Dataset | None = None,
    discrepancy: str | None = "rising",
    **options: Unpack[RunOptions],
) -> Validation:
    """Fit each of `models` to a part of `runs`, and score what it predicts for the rest.

    Args:
        runs: a run table, from `read_runs`. Only runs from scratch count.
        models: models by name or path, or baselines: ``huber``, ``varpro``.
        holdout: the split: one of `bayes_atlas.validation.splits.HOLDOUTS`. By language, every language with enough
            runs is held out in turn, and scores are of all these rows together.
        test: the rows to score, instead of a part of `runs`. by: labels whose values get parameters of their own, as in
        `fit`. sources, others, all_tokens: as in `fit`, for the paper's ablations too. discrepancy: how the error of a
        law grows beyond what was fitted: one of `bayes_atlas.validation.law_error_beyond.
            FORMS`. How large it is, is learned by holding out the largest of the fitted runs by parameters, tokens and
            compute, which takes a fit of each that is gone beyond; where these are of one size, the prior's are taken.
            None for intervals that hold if the law does. Baselines have none.
        options: of the runs and of the sampler, as in `fit` (`bayes_atlas.inference.options.RunOptions`); `seed` also
            draws random splits.

    Raises:
        InputError: nothing can be held out or nothing is left to score; a model that the table does not suit.
    """
    if not models:
        raise InputError(f"there is no model to validate; name one, such as atlas, or a baseline: {listed(BASELINES)}")
    for model in models:
        check_model(model)
    if discrepancy is not None and discrepancy not in FORMS:
        raise InputError(f"there is no discrepancy {discrepancy!r}; choose one of: {listed(FORMS)}, or None")
    by, seed = options.pop("by", ()), _seed(options)
    parts, left_out, notes = _folds(runs, holdout, test, by, seed)
    if options.pop("all_tokens", False):
        parts = [Fold(name, count_all_tokens(fitted), count_all_tokens(rows)) for name, fitted, rows in parts]
    made, scores, failed, sizes = {}, {}, {}, {}
    for model in models:
        name = str(model)
        try:
            predictions, failures = _predictions(model, parts, options)
            if discrepancy is not None and model not in BASELINES:
                predictions, sizes[name], more = _widened(model, parts, predictions, discrepancy, options)
                failures = sorted({*failures, *more})
        except BaselineError as error:
            if len(models) == 1:
                raise
            notes.append(str(error))
            continue
        made[name], scores[name] = predictions, _scores(predictions, parts, seed)
        failed[name] = failures
    if not scores:
        raise InputError(f"none of the baselines can be fitted: {'; '.join(notes)}")
    n_train = [fold.fitted.sizes["row"] for fold in parts]
    stack = _stack_scores(made, scores, parts, seed)
    return Validation(
        holdout if test is None else name_of(test), scores, n_train, left_out, failed, sizes, notes, stack
    )


def check_model(model: NameOrPath) -> None:
    """That a model is there and is one of run tables: before anything is sampled."""
    if model not in BASELINES and (kind := kind_name(read_model(model).covariates)) != RUNS:
        raise InputError(
            f"model {model} is fitted to {kind}, and losses of runs are held out here; choose a model of run tables, "
            f"such as atlas"
        )


def _folds(
    runs: xr.Dataset, holdout: str, test: xr.Dataset | None, by: Sequence[str], seed: int
) -> tuple[list[Fold], dict[str, int], list[str]]:
    """The folds, how many rows were left out of all of them, and what should be known of them."""
    left_out: dict[str, int] = {}
    runs = from_scratch(group_runs(runs, by) if by else runs, left_out)
    notes = []
    if test is not None:
        test = from_scratch(group_runs(test, by) if by else test, left_out)
        parts = [Fold(name_of(test), runs, test)]
        if shared := len({*labels(runs, "run")} & {*labels(test, "run")}):
            notes.append(
                f"{shared} runs of {name_of(test)} have names that {name_of(runs)} has too; if they are the same runs, "
                f"they were fitted and the scores are too good"
            )
    else:
        masks = folds(runs, holdout, seed)
        parts = [Fold(name, part(runs, ~mask, f"{name} held out"), runs.isel(row=mask)) for name, mask in masks.items()]
        if holdout == "language" and (few := few_runs(runs)):
            notes.append(
                f"{len(few)} languages have no more than {KEPT_RUNS} runs and were not held out: {listed(few)}"
            )
    return [known(fold, left_out) for fold in parts], left_out, notes


def _scores(predictions: Sequence[Predictive], parts: Sequence[Fold], seed: int) -> RowScores:
    """Of what is predicted in each fold, all rows together."""
    each = zip(predictions, parts, strict=True)
    return RowScores.joined([RowScores.of(made, fold.rows, seed) for made, fold in each])


def _stack_scores(
    made: dict[str, list[Prediction]], scores: dict[str, RowScores], parts: Sequence[Fold], seed: int
) -> RowScores | None:
    """Of the mixture of all models, whose weights for a run are chosen on other runs."""
    run = np.concatenate([labels(fold.rows, "run") for fold in parts])
    if len(scores) < 2 or len(np.unique(run)) < 2:
        return None
    weights = crossed_weights({name: rows.log_density for name, rows in scores.items()}, run, seed)
    ends = np.cumsum([fold.rows.sizes["row"] for fold in parts])[:-1]
    stacks = [
        Stack(predictions, of_fold)
        for *predictions, of_fold in zip(*made.values(), np.split(weights, ends), strict=True)
    ]
    return _scores(stacks, parts, seed)


def _predictions(model: NameOrPath, parts: Sequence[Fold], options: RunOptions) -> tuple[list[Prediction], list[str]]:
    """What a model or baseline predicts in each fold, and which checks of its sampling failed."""
    seed = _seed(options)
    if isinstance(model, str) and model in BASELINES:
        return [predict_baseline(model, fold.rows, fold.fitted, seed=seed) for fold in parts], []
    posteriors = _fit([fold.fitted for fold in parts], model, options)
    each = zip(posteriors, parts, strict=True)
    predictions = [predict(posterior, fold.rows, fold.fitted, seed=seed) for posterior, fold in each]
    return predictions, sorted({check.name for posterior in posteriors for check in posterior.failed_checks})


def _widened(
    model: NameOrPath, parts: Sequence[Fold], predictions: Sequence[Prediction], form: str, options: RunOptions
) -> tuple[list[Prediction], list[dict[str, float]], list[str]]:
    """Predictions with errors of the law in folds that go beyond what was fitted; what these are typically, by fold
    and size; and which checks failed of the fits that they were learned by.
    """
    beyond = [_beyond(fold) for fold in parts]
    inner = {
        (number, size): found
        for number, sizes in enumerate(beyond)
        for size in sizes
        if (found := _largest_held_out(parts[number], size)) is not None
    }
    asked = {fold.fitted.attrs["sha256"]: fold for fold in inner.values()}  # the same runs may be largest by two sizes
    made, failures = _predictions(model, list(asked.values()), options) if asked else ([], [])
    of_inner = dict(zip(asked, made, strict=True))
    widest, errors = [], []
    for number, (fold, sizes, prediction) in enumerate(zip(parts, beyond, predictions, strict=True)):
        probability = dict.fromkeys(sizes, unlearned())
        for size in sizes:
            if (part := inner.get((number, size))) is not None:
                away = distance(part.rows, part.fitted, size)
                probability[size] = learned(of_inner[part.fitted.attrs["sha256"]], part.rows, away, form)
        widest.append(widened(prediction, fold.rows, sizes, form, probability, _seed(options)))
        errors.append({size: typical(each, form) for size, each in probability.items()})
    return widest, errors, failures


def _beyond(fold: Fold) -> dict[str, Floats]:
    """How far the rows of a fold are beyond what it fits, by size; sizes that none of them is beyond left out."""
    away = {size: distance(fold.rows, fold.fitted, size) for size in SIZES}
    return {size: far for size, far in away.items() if far.any()}


def _largest_held_out(fold: Fold, size: str) -> Fold | None:
    """Of what a fold fits: the runs that are largest by `size` held out, from which the law's error is learned.

    None where they cannot be: all are of one size, no language has others, or none has tokens of its own beyond others.
    """
    try:
        largest = SPLITS[size](fold.fitted, 0)
        inner = Fold(fold.name, part(fold.fitted, ~largest, f"largest {size} held out"), fold.fitted.isel(row=largest))
        inner = known(inner, {})
    except InputError:
        return None
    return inner if distance(inner.rows, inner.fitted, size).any() else None


def _seed(options: RunOptions) -> int:
    return Options.of(**options).settings.seed


def _fit(tables: Sequence[xr.Dataset], model: NameOrPath, options: RunOptions) -> list[Posterior]:
    """The posterior of each table: all in one program, or each by itself where they differ in structure."""
    from bayes_atlas.inference.fit import fit, fit_many
    from bayes_atlas.inference.prepare import UnlikeError

    if len(tables) > 1:
        try:
            return fit_many(tables, model, **options)
        except UnlikeError:
            pass
    return [fit(table, model, with_data=False, **options) for table in tables]
