"""Compare models fitted to all runs, by leaving out one run at a time: `leave_one_out`.

What is left out is a whole run, with all its checkpoints and languages, and what is scored is their joint density: they
miss together (`bayes_atlas.modelling.curve_noise`), so that a row would be told by its neighbours, and leaving out
single rows asks how well a run's own curve is interpolated. Nobody plans by that. A run that was left out keeps the
effect of its model size only as far as other runs of this size say.

Each model is fitted once and Pareto-smoothed importance sampling takes runs out of its posterior (Vehtari et al. 2017).
Where k-hat says that this fails, the model is fitted again without the run. Moment matching (Paananen et al. 2021) is
not used: it shifts and scales the draws at hand, needs every model's density in coordinates of its own, and must be
followed by a refit where it fails; refits are exact, and all of a model's share one compiled program.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import arviz as az
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.catalogue import NameOrPath
from bayes_atlas.data.runs import group_runs
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError
from bayes_atlas.inference.fit import fit, fit_without
from bayes_atlas.inference.options import RunOptions
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.baselines import BASELINES
from bayes_atlas.validation.held_out import check_model
from bayes_atlas.validation.proper_scores import stacking_weights
from bayes_atlas.validation.rows import from_scratch

REFITS = 10


class _Scored(NamedTuple):
    """What is known of one model."""

    elpd: Any  # ArviZ's ELPDData, pointwise by run
    high_k: list[str]  # runs that importance sampling could not take out
    refits: int
    failed_checks: list[str]


@dataclass(frozen=True)
class LeaveOneOut:
    """Models scored on the same runs, each left out in turn."""

    scores: dict[str, Any]  # model -> ArviZ's ELPDData, pointwise by run; best first
    high_k: dict[str, list[str]]  # model -> runs that importance sampling could not take out, and refits did
    refits: dict[str, int]
    n_rows: int
    left_out: dict[str, int]  # reason -> rows that no model was fitted to
    failed_checks: dict[str, list[str]]  # model -> checks of its sampling that failed, in the fit or a refit
    notes: list[str]

    @property
    def n_runs(self) -> int:
        """Number of runs, each of which is scored."""
        return len(next(iter(self.scores.values())).elpd_i)

    def weights(self) -> dict[str, float]:
        """Stacking weights, of whole runs."""
        return stacking_weights({name: score.elpd_i.to_numpy() for name, score in self.scores.items()})

    def summary(self, model: str) -> dict[str, Any]:
        """``elpd`` and ``se``, ``elpd_diff`` to the best model and its ``dse``, ``p_loo``, ``high_k`` and ``refits``.

        ELPD is the sum over runs of the log density of a run's losses, per unit of loss, given all other runs. ``dse``
        is of the runs' paired differences; with fewer than a hundred runs it is rough, as errors of ELPD are. ``p_loo``
        is the effective number of parameters, ``high_k`` the number of runs that importance sampling could not take
        out.
        """
        score, best = self.scores[model], next(iter(self.scores.values()))
        apart = score.elpd_i.to_numpy() - best.elpd_i.to_numpy()
        return {
            "elpd": float(score.elpd),
            "se": float(score.se),
            "elpd_diff": float(apart.sum()),
            "dse": float(np.sqrt(len(apart)) * apart.std(ddof=1)),
            "p_loo": float(score.p),
            "high_k": len(self.high_k[model]),
            "refits": self.refits[model],
        }


def leave_one_out(
    runs: xr.Dataset,
    models: Sequence[NameOrPath] = ("atlas",),
    *,
    refits: int = REFITS,
    **options: Unpack[RunOptions],
) -> LeaveOneOut:
    """Fit each of `models` to all of `runs`, and score what it predicts for each run given the others.

    Args:
        runs: a run table, from `read_runs`. Only runs from scratch count.
        models: models by name or path.
        refits: the most refits of a model. Where importance sampling fails for more runs than that, they are dealt to
            so many folds, and each fold's runs are left out together.
        options: of the runs and of the sampler, as in `fit` (`bayes_atlas.inference.options.RunOptions`).

    Raises:
        InputError: nothing to compare: a baseline, which has no posterior; a model that the table does not suit; a
            single run.
    """
    if not models:
        raise InputError("there is no model to compare; name one, such as atlas")
    for model in models:
        _check(model)
    if refits < 1:
        raise InputError(f"refits is {refits}; it must be at least 1")
    left_out: dict[str, int] = {}
    by = options.pop("by", ())
    table = from_scratch(group_runs(runs, by) if by else runs, left_out)
    if len(np.unique(table["run"])) < 2:
        raise InputError(f"{runs.attrs['name']} has a single run, without which nothing is left to fit; add runs")
    scored = {str(model): _score(table, model, refits, options) for model in models}
    scored = dict(sorted(scored.items(), key=lambda item: -item[1].elpd.elpd))
    return LeaveOneOut(
        scores={name: each.elpd for name, each in scored.items()},
        high_k={name: each.high_k for name, each in scored.items()},
        refits={name: each.refits for name, each in scored.items()},
        n_rows=table.sizes["row"],
        left_out=left_out,
        failed_checks={name: each.failed_checks for name, each in scored.items()},
        notes=[
            f"{name}: {len(each.high_k)} runs that importance sampling cannot take out were left out in "
            f"{plural(each.refits, 'fold')}, several at once, which understates its ELPD a little"
            for name, each in scored.items()
            if len(each.high_k) > each.refits
        ],
    )


def _check(model: NameOrPath) -> None:
    if model in BASELINES:
        raise InputError(
            f"the baseline {model} is a point fit, with no posterior to take runs out of; leave it out, or compare on "
            f"held-out rows"
        )
    check_model(model)


def _score(table: xr.Dataset, model: NameOrPath, refits: int, options: RunOptions) -> _Scored:
    posterior = fit(table, model, **options)
    failed = {check.name for check in posterior.failed_checks}
    tree = _described(posterior, table)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto")  # what the refits are for
        psis = az.loo(tree, pointwise=True)
    bad = psis.pareto_k["run"].to_numpy()[psis.pareto_k > psis.good_k].tolist()
    if not bad:
        return _Scored(psis, [], 0, sorted(failed))
    folds = [bad[start::refits] for start in range(min(refits, len(bad)))]
    curves, run = posterior.draws["log_likelihood"]["run"].to_numpy(), _runs_of_curves(table)
    again = fit_without(table, model, curves=[curves[np.isin(run, fold)].tolist() for fold in folds], **options)
    without = {
        name: _by_run(each.log_likelihood, table).sel(run=name)
        for fold, each in zip(folds, again, strict=True)
        for name in fold
    }
    failed |= {name for each in again for name in each.failed_checks}
    exact = az.reloo(_Refitted(tree, without), psis, k_threshold=psis.good_k, pointwise=True)
    return _Scored(exact, bad, len(folds), sorted(failed))


class _Refitted(az.SamplingWrapper):
    """Hands ArviZ the refits that were made for it."""

    def __init__(self, tree: xr.DataTree, without: dict[str, xr.DataArray]) -> None:
        super().__init__(model=None, idata_orig=tree)
        self.without = without  # run -> its log density (chain, draw) in a fit that it had no part in
        self.runs = tree["log_likelihood"]["run"].to_numpy().tolist()

    def sel_observations(self, idx: int) -> tuple[None, str]:
        """The data are chosen already: only which run was left out."""
        return None, self.runs[idx]

    def sample(self, modified_observed_data: None) -> None:
        """Done already."""

    def get_inference_data(self, fitted_model: None) -> None:
        """Not needed."""

    def log_likelihood__i(self, excluded_obs: str, idata__i: None) -> xr.DataArray:
        """Log density of the run left out."""
        return self.without[excluded_obs]


# Runs


def _described(posterior: Posterior, table: xr.Dataset) -> xr.DataTree:
    """What ArviZ needs: the draws, and their log densities of runs."""
    density = _by_run(posterior.draws["log_likelihood"].to_dataset()["log_loss"], table)
    return xr.DataTree.from_dict(
        {"posterior": posterior.draws["posterior"].to_dataset(), "log_likelihood": density.to_dataset(name="loss")}
    )


def _by_run(of_curves: xr.DataArray, table: xr.Dataset) -> xr.DataArray:
    """Log densities of log losses of curves as those of losses of runs, by run in the order of their names."""
    log_loss = xr.DataArray(np.log(table["loss"].to_numpy()), {"run": _labels(table)}, ["run"])
    of_runs = of_curves.astype(float).assign_coords(run=_runs_of_curves(table)).groupby("run").sum()
    return of_runs - log_loss.groupby("run").sum()


def _runs_of_curves(table: xr.Dataset) -> NDArray[np.str_]:
    """The run of each curve, in the order in which a fit has them: as runs and languages first meet in the table."""
    return np.array([run for run, _ in dict.fromkeys(zip(_labels(table), table["language"].values, strict=True))])


def _labels(table: xr.Dataset) -> NDArray[np.str_]:
    return table["run"].to_numpy().astype(str)
