"""Fit to one part of a run table, score on the other: `validate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack, cast

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
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
from bayes_atlas.validation.stack import Stack


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
    weights: dict[str, float] | None  # model -> stacking weight, from inner hold-outs; None for one model
    stack: RowScores | None  # of the models' mixture with these weights

    def summary(self, model: str) -> dict[str, Any]:
        """``rmse``, ``r2``, ``crps``, ``elpd``, ``coverage``, ``width``, ``pit``, ``n_test`` and ``by_language``.

        Coverage and mean width are objects keyed by probability, ``pit`` the share of rows by tenth of it, ``elpd`` the
        sum over runs of the log density of a run's held-out rows together, as in leave-one-out. ``r2`` is None where
        the losses do not differ.
        """
        return self.scores[model].summary()


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
    inner = [_inner(fold, holdout if test is None else "random", seed) for fold in parts] if len(models) > 1 else []
    made, scores, failed, densities = {}, {}, {}, {}
    for model in models:
        name = str(model)
        try:
            predictions, weighing, failures = _predictions(model, parts, inner, law_error, options, notes)
        except BaselineError as error:
            if len(models) == 1:
                raise
            notes.append(str(error))
            continue
        scores[name], failed[name] = _scores(predictions, parts, seed), failures
        if inner and weighing is None:
            notes.append(f"{name} has no weight in the stack, as it cannot be fitted to a part of the fitted rows")
        elif weighing is not None:
            made[name] = predictions
            densities[name] = [
                of_runs(each.log_density(fold.rows["loss"].to_numpy()), labels(fold.rows, "run"))
                for each, fold in zip(weighing, inner, strict=True)
            ]
    if not scores:
        raise InputError(f"none of the baselines can be fitted: {'; '.join(notes)}")
    n_train = [fold.fitted.sizes["row"] for fold in parts]
    weights, stack = _stacked(made, densities, parts, seed) if len(made) > 1 else (None, None)
    return Validation(
        holdout if test is None else name_of(test), scores, n_train, left_out, failed, law_error, notes, weights, stack
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


def _inner(fold: Fold, holdout: str, seed: int) -> Fold:
    """A hold-out of fitted rows, which chooses the weights of the stack: by the same split or, if need be, at random.

    A split by language has one inner hold-out for each fold, at random: a second one by language would be a fit for
    each pair of languages.
    """
    for split in dict.fromkeys([holdout if holdout != "language" else "random", "random"]):
        try:
            (mask,) = folds(fold.fitted, split, seed).values()
            rows = fold.fitted.isel(row=mask)
            return known(Fold(fold.name, part(fold.fitted, ~mask, "inner hold-out"), rows), {})
        except InputError as error:
            last = error
    raise last


def _stacked(
    made: dict[str, list[Prediction]], densities: dict[str, list[Floats]], parts: Sequence[Fold], seed: int
) -> tuple[dict[str, float], RowScores]:
    """The weights of all models, each fold's by its inner hold-out, and the scores of their mixture.

    Returns:
        The mean of the folds' weights by held-out rows, and the scores.
    """
    chosen = [
        stacking_weights(dict(zip(densities, each, strict=True))) for each in zip(*densities.values(), strict=True)
    ]
    stacks = [
        Stack(predictions, np.array([list(weights.values())]))
        for *predictions, weights in zip(*made.values(), chosen, strict=True)
    ]
    rows = np.array([fold.rows.sizes["row"] for fold in parts])
    mean = {name: float(rows @ [each[name] for each in chosen] / rows.sum()) for name in made}
    return mean, _scores(stacks, parts, seed)


def _predictions(
    model: NameOrPath,
    parts: Sequence[Fold],
    inner: Sequence[Fold],
    law_error: str,
    options: RunOptions,
    notes: list[str],
) -> tuple[list[Prediction], list[Prediction] | None, list[str]]:
    """What a model or baseline predicts in each fold and each inner one, and which checks of its sampling failed.

    The second is None for a baseline that cannot be fitted to the rows of an inner fold. Checks that failed in an inner
    fold, which scores nothing, are added to `notes`.
    """
    seed = _seed(options)
    if isinstance(model, str) and model in BASELINES:
        made = [predict_baseline(model, fold.rows, fold.fitted, seed=seed) for fold in parts]
        try:
            return made, [predict_baseline(model, fold.rows, fold.fitted, seed=seed) for fold in inner], []
        except BaselineError:
            return made, None, []
    every = [*parts, *inner]
    posteriors = _fit([fold.fitted for fold in every], model, law_error, options)
    made = [
        predict(posterior, fold.rows, fold.fitted, seed=seed, law_error=law_error)
        for posterior, fold in zip(posteriors, every, strict=True)
    ]
    failed, weak = (
        sorted({check.name for posterior in some for check in posterior.failed_checks})
        for some in (posteriors[: len(parts)], posteriors[len(parts) :])
    )
    if weak:
        notes.append(f"the stacking weight of {model} rests on an inner fit that failed {listed(weak)}")
    return made[: len(parts)], made[len(parts) :], failed


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
