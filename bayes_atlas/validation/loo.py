"""Leave-one-out cross-validation by run: `leave_one_out`.

Each fold leaves out a whole run, with all its checkpoints and languages, and scores their joint density. Residuals
within a run are correlated (`bayes_atlas.modelling.curve_noise`). The neighbours of a single left-out row would
predict it, and its score would measure interpolation within a curve, which no plan needs. Only other runs of the same
model size inform the size effect of a left-out run.

Each model is fitted once. Pareto-smoothed importance sampling removes runs from its posterior (Vehtari et al. 2017). If
k-hat shows that this is unreliable for a run, the model is fitted again without the run. Moment matching (Paananen et
al. 2021) is not used: to shift and scale the draws, it needs every model's density in unconstrained coordinates, and if
it fails, it needs a refit. Refits are exact, and all refits of a model share one compiled program.
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
    """Score of one model."""

    elpd: Any  # ArviZ's ELPDData, pointwise by run
    high_k: list[str]  # runs with unreliable importance sampling
    refits: int
    failed_checks: list[str]


@dataclass(frozen=True)
class LeaveOneOut:
    """Scores of models on the same runs, each run left out in turn."""

    scores: dict[str, Any]  # model -> ArviZ's ELPDData, pointwise by run; best first
    high_k: dict[str, list[str]]  # model -> runs with unreliable importance sampling, which refits score
    refits: dict[str, int]
    n_rows: int
    left_out: dict[str, int]  # reason -> rows that are neither fitted nor scored
    failed_checks: dict[str, list[str]]  # model -> failed checks of the sampling, in the fit or a refit
    notes: list[str]

    @property
    def n_runs(self) -> int:
        """Number of scored runs."""
        return len(next(iter(self.scores.values())).elpd_i)

    def weights(self) -> dict[str, float]:
        """Return stacking weights, by the scores of whole runs."""
        return stacking_weights({name: score.elpd_i.to_numpy() for name, score in self.scores.items()})

    def summary(self, model: str) -> dict[str, Any]:
        """Return the scores of `model`.

        Returns:
            ``elpd``: sum over runs of the log density of a run's losses, per unit of loss, given all other runs.
            ``se``: its standard error.
            ``elpd_diff``: difference to the best model.
            ``dse``: standard error of the paired differences; rough with fewer than a hundred runs, as is ``se``.
            ``p_loo``: effective number of parameters.
            ``high_k``: number of runs with unreliable importance sampling.
            ``refits``: number of refits.
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
    """Fit each of `models` to all `runs`, and score its prediction of each run given the others.

    Args:
        runs: a run table, from `read_runs`; only runs from scratch are used.
        models: models by name or path.
        refits: largest number of refits of a model. If importance sampling is unreliable for more runs than this, each
            refit leaves out several of them together.
        options: of the runs and of the sampler, as in `fit` (`bayes_atlas.inference.options.RunOptions`).

    Raises:
        InputError: there is no model, a model is a baseline (without a posterior) or does not suit the table, `refits`
            is not positive, or the table has a single run.
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
        raise InputError(f"{runs.attrs['name']} has a single run, so none would be left to fit; add runs")
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
            f"{name}: importance sampling is unreliable for {len(each.high_k)} runs, and "
            f"{plural(each.refits, 'refit')} left out several of them together, which slightly understates the ELPD"
            for name, each in scored.items()
            if len(each.high_k) > each.refits
        ],
    )


def _check(model: NameOrPath) -> None:
    if model in BASELINES:
        raise InputError(
            f"the baseline {model} is a point fit, without a posterior for leave-one-out; leave it out, or compare on "
            f"held-out rows"
        )
    check_model(model)


def _score(table: xr.Dataset, model: NameOrPath, refits: int, options: RunOptions) -> _Scored:
    posterior = fit(table, model, **options)
    failed = {check.name for check in posterior.failed_checks}
    tree = _described(posterior, table)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto")  # refits follow
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
    """Passes the refits to ArviZ."""

    def __init__(self, tree: xr.DataTree, without: dict[str, xr.DataArray]) -> None:
        super().__init__(model=None, idata_orig=tree)
        self.without = without  # run -> its log density (chain, draw) in a fit without it
        self.runs = tree["log_likelihood"]["run"].to_numpy().tolist()

    def sel_observations(self, idx: int) -> tuple[None, str]:
        """Return the left-out run; its refit needs no data."""
        return None, self.runs[idx]

    def sample(self, modified_observed_data: None) -> None:
        """Do nothing: the refits exist."""

    def get_inference_data(self, fitted_model: None) -> None:
        """Do nothing: the refits exist."""

    def log_likelihood__i(self, excluded_obs: str, idata__i: None) -> xr.DataArray:
        """Return the log density of the left-out run."""
        return self.without[excluded_obs]


# Runs


def _described(posterior: Posterior, table: xr.Dataset) -> xr.DataTree:
    """Return the tree for ArviZ: the draws, and the log densities of runs."""
    density = _by_run(posterior.draws["log_likelihood"].to_dataset()["log_loss"], table)
    return xr.DataTree.from_dict(
        {"posterior": posterior.draws["posterior"].to_dataset(), "log_likelihood": density.to_dataset(name="loss")}
    )


def _by_run(of_curves: xr.DataArray, table: xr.Dataset) -> xr.DataArray:
    """Convert log densities of curves' log losses to those of runs' losses, ordered by the names of runs."""
    log_loss = xr.DataArray(np.log(table["loss"].to_numpy()), {"run": _labels(table)}, ["run"])
    of_runs = of_curves.astype(float).assign_coords(run=_runs_of_curves(table)).groupby("run").sum()
    return of_runs - log_loss.groupby("run").sum()


def _runs_of_curves(table: xr.Dataset) -> NDArray[np.str_]:
    """Return the run of each curve, in the order of a fit: by first occurrence of run and language in the table."""
    return np.array([run for run, _ in dict.fromkeys(zip(_labels(table), table["language"].values, strict=True))])


def _labels(table: xr.Dataset) -> NDArray[np.str_]:
    return table["run"].to_numpy().astype(str)
