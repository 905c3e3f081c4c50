"""Fit to one part of a run table, score on the other: `validate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack, cast

import numpy as np
import xarray as xr

from bayes_atlas.catalogue import NameOrPath, read_model
from bayes_atlas.data.runs import count_all_tokens, group_runs
from bayes_atlas.decisions.objective import LAW_ERRORS, LEARNED
from bayes_atlas.errors import InputError
from bayes_atlas.inference.options import FitOptions, Options, RunOptions
from bayes_atlas.observations.kind import RUNS, kind_name
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.baselines import BASELINES, BaselineError, predict_baseline
from bayes_atlas.validation.predict import Prediction, predict
from bayes_atlas.validation.proper_scores import Predictive, RowScores, of_runs, stacking_weights
from bayes_atlas.validation.rows import Fold, from_scratch, known, labels, listed, name_of, part
from bayes_atlas.validation.splits import KEPT_RUNS, few_runs, folds
from bayes_atlas.validation.stack import Stack, crossed_weights


@dataclass(frozen=True)
class Validation:
    """Scores of models on the same held-out rows."""

    holdout: str  # the split, or the name of the test table
    scores: dict[str, RowScores]  # by model, in the order asked for
    n_train: list[int]  # rows fitted, by fold
    left_out: dict[str, int]  # reason -> rows that were neither fitted nor scored
    failed_checks: dict[str, list[str]]  # model -> checks of its sampling that failed in some fold
    law_error: str  # whether predictions include errors of the law: ``learned`` or ``none``
    notes: list[str]
    stack: RowScores | None  # of the models' mixture, each run by weights from the others; None for one model, or run

    def summary(self, model: str) -> dict[str, Any]:
        """``rmse``, ``r2``, ``crps``, ``elpd``, ``coverage``, ``width``, ``pit``, ``n_test`` and ``by_language``.

        Coverage and mean width are objects keyed by probability, ``pit`` the share of rows by tenth of it, ``elpd`` the
        sum over runs of the log density of a run's held-out rows together, as in leave-one-out. ``r2`` is None where
        the losses do not differ.
        """
        return self.scores[model].summary()

    def weights(self) -> dict[str, float]:
        """Stacking weights from the densities of these rows, which therefore are no score of the stack itself."""
        return stacking_weights({name: of_runs(rows.log_density, rows.run) for name, rows in self.scores.items()})


def validate(
    runs: xr.Dataset,
    models: Sequence[NameOrPath] = ("atlas",),
    *,
    holdout: str = "random",
    test: xr.Dataset | None = None,
    law_error: str = LEARNED,
    **options: Unpack[RunOptions],
) -> Validation:
    """Fit each of `models` to a part of `runs`, and score what it predicts for the rest.

    Args:
        runs: a run table, from `read_runs`. Only runs from scratch count.
        models: models by name or path, or baselines: ``huber``, ``varpro``.
        holdout: the split: one of `bayes_atlas.validation.splits.HOLDOUTS`. By language, every language with enough
            runs is held out in turn, and scores are of all these rows together.
        test: the rows to score, instead of a part of `runs`.
        law_error: ``learned`` for predictions of a law that errs as the fitted runs and public tables show
            (`bayes_atlas.law_error`), ``none`` for those of a law that holds. Baselines have none.
        options: of the runs and of the sampler, as in `fit` (`bayes_atlas.inference.options.RunOptions`); `seed` also
            draws random splits.

    Raises:
        InputError: nothing can be held out or nothing is left to score; a model that the table does not suit.
    """
    if not models:
        raise InputError(f"there is no model to validate; name one, such as atlas, or a baseline: {listed(BASELINES)}")
    for model in models:
        check_model(model)
    if law_error not in LAW_ERRORS:
        raise InputError(f"law_error is {law_error!r}; choose one of: {listed(LAW_ERRORS)}")
    by, seed = options.pop("by", ()), _seed(options)
    parts, left_out, notes = _folds(runs, holdout, test, by, seed)
    if options.pop("all_tokens", False):
        parts = [Fold(name, count_all_tokens(fitted), count_all_tokens(rows)) for name, fitted, rows in parts]
    made, scores, failed = {}, {}, {}
    for model in models:
        name = str(model)
        try:
            predictions, failures = _predictions(model, parts, law_error, options)
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
        holdout if test is None else name_of(test), scores, n_train, left_out, failed, law_error, notes, stack
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


def _predictions(
    model: NameOrPath, parts: Sequence[Fold], law_error: str, options: RunOptions
) -> tuple[list[Prediction], list[str]]:
    """What a model or baseline predicts in each fold, and which checks of its sampling failed."""
    seed = _seed(options)
    if isinstance(model, str) and model in BASELINES:
        return [predict_baseline(model, fold.rows, fold.fitted, seed=seed) for fold in parts], []
    posteriors = _fit([fold.fitted for fold in parts], model, law_error, options)
    each = zip(posteriors, parts, strict=True)
    predictions = [
        predict(posterior, fold.rows, fold.fitted, seed=seed, law_error=law_error) for posterior, fold in each
    ]
    return predictions, sorted({check.name for posterior in posteriors for check in posterior.failed_checks})


def _seed(options: RunOptions) -> int:
    return Options.of(**options).settings.seed


def _fit(tables: Sequence[xr.Dataset], model: NameOrPath, law_error: str, options: RunOptions) -> list[Posterior]:
    """The posterior of each table: all in one program, or each by itself where they differ in structure."""
    from bayes_atlas.inference.fit import fit, fit_many
    from bayes_atlas.inference.prepare import UnlikeError

    given = cast(FitOptions, {**options, "with_data": False, "law_error": law_error == LEARNED})
    if len(tables) > 1:
        try:
            return fit_many(tables, model, **given)
        except UnlikeError:
            pass
    return [fit(table, model, **given) for table in tables]
