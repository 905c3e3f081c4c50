"""Review of a fit: whether the law describes the runs, and whether the runs or the priors determine the parameters.

No finding means that a posterior is wrong; each is a remark. The review predicts the rows that were fitted, which are
easier to predict than others. The rest of `bayes_atlas.validation` predicts rows that were not fitted.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import arviz as az
import numpy as np
import xarray as xr
from scipy.stats import kstest, kstwo

from bayes_atlas.arrays import Flags, Floats
from bayes_atlas.catalogue import NameOrPath
from bayes_atlas.data.outliers import suspects, suspects_by_noise
from bayes_atlas.data.size_groups import SAME_SIZE
from bayes_atlas.inference.evaluate import NotStoredError, Replay, stored_log_prior
from bayes_atlas.inference.staleness import ModelNotNamedError, is_stale
from bayes_atlas.observations.curves import AGE, TAU_PRIOR
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.proper_scores import LEVELS, PIT_BINS

DRAWS = 1000  # draws of a predictive distribution
BAND = 0.95  # probability that the whole ECDF of calibrated PIT values stays inside its band
WORST = 5
WIDEST = 0.99  # central interval of the prior predictive that should contain the observations
HALF = 2.0  # least ratio of an outdone run's data to that of the better run; with similar data noise may decide
SENSITIVE = 0.05  # value of the power-scaling diagnostic above which a parameter depends on the scaled part

# Parameters of `bayes_atlas.modelling.curve_noise` and of burn-in
SCALES = ("sigma", "kappa_stage", "memory", "kappa_epochs", "kappa_tokens", "shared", "size_effect_scale")
OF_NOISE = (*SCALES, "burn_in", "burn_in_onset", "burn_in_steep", "burn_in_growth")
# What is stored of a run in which `outdone` may differ; so may the other parts of its age.
MAY_DIFFER = ("params", "tokens", "unique", "stage", "epochs", "size_index", "run_index", "size_weight")


@dataclass(frozen=True)
class PredictedRows:
    """Predictive draws of observed rows, on the natural scale if the model observes a logarithm."""

    quantity: str  # loss, ..
    labels: list[str]  # (row,) run, with the number of the checkpoint if runs have several
    last: Flags  # (row,) last row of its run; last rows are independent, checkpoints of one run are not
    observed: Floats  # (row,)
    draws: Floats  # (row, draw)

    @cached_property
    def pit(self) -> Floats:
        """Predictive probability of a value up to the observed one, ``(row,)``; uniform for a calibrated predictive."""
        return np.asarray((self.draws <= self.observed[:, None]).mean(axis=1))

    @property
    def band(self) -> float:
        """Largest distance from uniform allowed for the PIT's ECDF over last rows: half of Kolmogorov's band."""
        return float(kstwo.ppf(BAND, self.last.sum()))

    @property
    def within_band(self) -> bool:
        """True if the PIT of last rows is compatible with a uniform distribution."""
        return bool(kstest(self.pit[self.last], "uniform").statistic <= self.band)

    def inside(self, level: float, of: Flags | None = None) -> float:
        """Return the share of rows, or of the rows `of`, inside the central interval of probability `level`."""
        inside = np.abs(self.pit - 0.5) <= level / 2
        return float((inside if of is None else inside[of]).mean())

    def interval(self, level: float) -> tuple[float, float]:
        """Return the central interval of probability `level` of all rows' draws together."""
        finite = self.draws[np.isfinite(self.draws)]
        lower, upper = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
        return float(lower), float(upper)

    def worst(self) -> list[dict[str, Any]]:
        """Return the rows farthest from their predictive median, in half-widths of the central 68 % interval."""
        lower, median, upper = np.quantile(self.draws, [0.16, 0.5, 0.84], axis=1)
        off = (self.observed - median) / ((upper - lower) / 2)
        return [
            {
                "row": self.labels[row],
                "observed": float(self.observed[row]),
                "median": float(median[row]),
                "deviations": float(off[row]),
            }
            for row in np.argsort(-np.abs(off))[:WORST]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures that prior and posterior predictive have in common, ready for JSON."""
        return {
            "quantity": self.quantity,
            "rows": len(self.observed),
            "draws": self.draws.shape[1],
            "interval_0.9": list(self.interval(0.9)),
            "observed": [float(self.observed.min()), float(self.observed.max())],
            "coverage": {f"{level:g}": self.inside(level) for level in LEVELS},
        }


@dataclass(frozen=True)
class Sensitivity:
    """Power-scaling sensitivity (Kallioinen et al. 2024) of one parameter."""

    parameter: str
    prior: float
    likelihood: float | None  # None if the pointwise log likelihood was not stored

    @property
    def diagnosis(self) -> str:
        """Diagnosis from both sensitivities; empty if the prior does not matter."""
        if not self.prior > SENSITIVE:
            return ""
        if self.likelihood is None:
            return "depends on its prior"
        return "prior-data conflict" if self.likelihood > SENSITIVE else "strong prior or weak likelihood"


@dataclass(frozen=True)
class Influence:
    """PSIS-LOO: the expected log density of left-out runs, and the runs with an unreliable estimate."""

    elpd: float
    se: float
    p: float
    runs: int
    limit: float  # highest Pareto k of a reliable estimate
    above: dict[str, float]  # run -> Pareto k above the limit, largest first


@dataclass(frozen=True)
class Review:
    """Findings on a fit. A finding is None if its input was not stored; `missing` then says what it lacks."""

    stale: bool | None  # None if its model was not executed
    prior: PredictedRows | None
    posterior: PredictedRows | None
    sensitivity: list[Sensitivity] | None  # of the parameters of the law and of the noise
    influence: Influence | None
    weights: dict[str, float] | None  # outlying run -> weight, lowest first
    by_noise: float | None  # expected number of outlying runs from noise alone
    outdone: dict[str, str] | None  # run -> a better run with no more parameters and at most half its tokens
    missing: dict[str, str]  # part -> missing input and next step

    @property
    def remarks(self) -> list[str]:
        """Remarks for the reader."""
        return [*self._of_prior(), *self._of_posterior(), *self._of_sensitivity(), *self._of_runs()]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole review, ready for JSON."""
        posterior, influence = self.posterior, self.influence
        return {
            "prior_predictive": None
            if self.prior is None
            else self.prior.to_dict() | {"finite": _finite(self.prior), "inside_0.99": self.prior.inside(WIDEST)},
            "posterior_predictive": None
            if posterior is None
            else posterior.to_dict()
            | {
                "pit": (np.histogram(posterior.pit, PIT_BINS, (0, 1))[0] / len(posterior.pit)).tolist(),
                "pit_within_band": posterior.within_band,
                "worst": posterior.worst(),
            },
            "sensitivity": None
            if self.sensitivity is None
            else [vars(each) | {"diagnosis": each.diagnosis} for each in self.sensitivity],
            "loo": None if influence is None else vars(influence),
            "outlying": self.weights,
            "outlying_by_noise": self.by_noise,
            "outdone": self.outdone,
            "missing": self.missing,
            "remarks": self.remarks,
        }

    def _of_prior(self) -> list[str]:
        if self.prior is None:
            return []
        remarks = []
        if (finite := _finite(self.prior)) < 1:
            remarks.append(f"{1 - finite:.2%} of prior predictive draws are not finite; check the model's priors")
        if (inside := self.prior.inside(WIDEST)) < 0.9:
            remarks.append(
                f"the prior predictive's {WIDEST:.0%} intervals contain only {inside:.0%} of the observations: the "
                f"priors exclude the others; widen the priors in the model"
            )
        return remarks

    def _of_posterior(self) -> list[str]:
        if self.posterior is None or self.posterior.within_band:
            return []
        found = (
            "wider than the scatter of the fitted runs"
            if self.posterior.inside(0.5, of=self.posterior.last) > 0.5
            else "narrower than the scatter of the fitted runs, or biased: the law or its noise misfits; see worst rows"
        )
        return [
            f"PIT values of the runs' last rows leave the {BAND:.0%} band of uniform values: predictions are {found}"
        ]

    def _of_sensitivity(self) -> list[str]:
        found = [each for each in self.sensitivity or [] if each.diagnosis]
        return [
            f"{name}: {_listed([each.parameter for each in found if each.diagnosis == name])}; {ADVICE[name]}"
            for name in dict.fromkeys(each.diagnosis for each in found)
        ]

    def _of_runs(self) -> list[str]:
        remarks = []
        if self.weights:
            alone = "" if self.by_noise is None else f" (noise alone would produce {self.by_noise:.2g} outliers)"
            remarks.append(
                f"the law does not account for {_listed(list(self.weights))}: outliers with a low weight{alone}; check "
                f"whether these runs failed, and fit again without those that did"
            )
        if self.outdone:
            named = [f"{worse} (by {better})" for worse, better in self.outdone.items()]
            remarks.append(
                f"runs with less data outdid {_listed(named)}, which no law here allows: the outdone runs failed, or "
                f"repeated their data too often; check these runs"
            )
        if self.influence is not None and self.influence.above:
            remarks.append(
                f"PSIS-LOO is unreliable for {_listed(list(self.influence.above))} (Pareto k above "
                f"{self.influence.limit:.2g}), because these runs influence the posterior strongly; `bayes-atlas "
                f"compare --loo` refits without them"
            )
        return remarks


ADVICE = {
    "prior-data conflict": "runs and prior disagree; check whether the prior is as intended",
    "strong prior or weak likelihood": "the runs say little about these; add runs that identify them "
    "(`bayes-atlas check RUNS` says what is missing)",
    "depends on its prior": "the runs may be uninformative or in conflict; fit again with the data stored to see which",
}


def review_fit(posterior: Posterior, model: NameOrPath | None = None) -> Review:
    """Review a fit against its data and its priors, as far as these are stored. Executes the model.

    Args:
        posterior: the posterior.
        model: its model file, if it is no shipped model. Without it, parts that need the model are left out.

    Raises:
        InputError: the posterior's model does not exist.
    """
    missing = dict[str, str]()
    stale: bool | None = None
    try:
        stale = is_stale(posterior, model)
    except ModelNotNamedError as error:
        missing["whether its model has changed since the fit"] = str(error)

    def attempt[T](part: str, compute: Callable[[], T], *, runs_model: bool = False) -> T | None:
        """Return `compute()`, or None with an entry in `missing` if it cannot be computed."""
        if runs_model and stale:
            missing[part] = "the fitted version of the model, which has changed since; fit again"
            return None
        try:
            return compute()
        except (NotStoredError, ModelNotNamedError) as error:
            missing[part] = str(error)
            return None

    replay = attempt("prior and posterior prediction", partial(Replay.of, posterior, model), runs_model=True)
    predicted = {
        group: attempt(f"{group} prediction", partial(_predictive, posterior, replay, group))
        for group in ("prior", "posterior")
        if replay is not None
    }
    densities = attempt(
        "sensitivity to priors",
        partial(stored_log_prior, posterior, model),
        runs_model="log_prior" not in posterior.draws,
    )
    return Review(
        stale=stale,
        prior=predicted.get("prior"),
        posterior=predicted.get("posterior"),
        sensitivity=None if densities is None else _sensitivity(posterior, densities),
        influence=attempt("PSIS-LOO and sensitivity to the likelihood", partial(_influence, posterior)),
        weights=attempt("runs that the law cannot account for", partial(_outlying, posterior, replay)),
        by_noise=_by_noise(posterior),
        outdone=attempt("runs outdone with less data", partial(_outdone, posterior)),
        missing=missing,
    )


def _predictive(posterior: Posterior, replay: Replay, group: str) -> PredictedRows:
    if group not in posterior.draws:
        raise NotStoredError(f"the group {group}, which `fit` stores and `fit_many` does not")
    stored = posterior.draws["observed_data"].to_dataset()
    (data,) = stored.data_vars.values()
    censored = posterior.draws["constant_data"].to_dataset().get("censored", xr.zeros_like(data, dtype=bool))
    measured = np.isfinite(replay.observed) & ~censored.to_numpy()
    names = data[data.dims[0]].to_numpy().astype(str)
    several = measured.ndim > 1 and measured.shape[1] > 1
    steps = np.broadcast_to(np.arange(1, measured.shape[-1] + 1), measured.shape) if several else None
    curve = np.nonzero(measured)[0]
    labels = [
        f"{names[at]} #{step}" if steps is not None else str(names[at])
        for at, step in zip(curve, steps[measured] if steps is not None else curve, strict=True)
    ]
    draws = replay.predictive(group, DRAWS)[:, measured].T
    observed = replay.observed[measured]
    if is_log := replay.site.startswith("log_"):
        with np.errstate(over="ignore"):  # overflow of prior draws counts as not finite
            observed, draws = np.exp(observed), np.exp(draws)
    return PredictedRows(
        quantity=replay.site.removeprefix("log_") if is_log else replay.site,
        labels=labels,
        last=np.append(curve[1:] != curve[:-1], True),
        observed=observed,
        draws=draws,
    )


def _sensitivity(posterior: Posterior, densities: xr.Dataset) -> list[Sensitivity]:
    """Return the sensitivity of the parameters of the law and the noise, the most dependent on its prior first."""
    tree = posterior.draws.assign({"log_prior": xr.DataTree(densities)})
    names = [name for name in (*posterior.law.PARAMETERS, *OF_NOISE) if name in tree["posterior"]]
    by_prior = _flat(az.psense(tree, var_names=names, group="prior"))
    by_likelihood = _flat(az.psense(tree, var_names=names, group="likelihood")) if "log_likelihood" in tree else {}
    found = [Sensitivity(name, value, by_likelihood.get(name)) for name, value in by_prior.items()]
    return sorted(found, key=lambda each: each.prior, reverse=True)


def _flat(values: xr.Dataset) -> dict[str, float]:
    """Map names such as ``alpha[sw]`` to values, without constant parameters such as the diagonal of a matrix."""
    frame = az.dataset_to_dataframe(values.expand_dims(component=["value"]), sample_dims=["component"])
    return {str(name): float(value) for name, value in frame.loc["value"].items() if np.isfinite(value)}


def _influence(posterior: Posterior) -> Influence:
    if "log_likelihood" not in posterior.draws:
        raise NotStoredError("the group log_likelihood, which was not stored; fit again without --without-data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about Pareto k, which the review itself reports
        loo = az.loo(_of_whole_runs(posterior), pointwise=True)
    (dim,) = loo.pareto_k.dims
    order = loo.pareto_k.sortby(-loo.pareto_k)
    above = order[(order > loo.good_k).to_numpy()]
    named = dict(zip(above[dim].to_numpy().astype(str).tolist(), above.to_numpy().tolist(), strict=True))
    return Influence(float(loo.elpd), float(loo.se), float(loo.p), loo.pareto_k.size, float(loo.good_k), named)


def _of_whole_runs(posterior: Posterior) -> xr.DataTree:
    """Return the draws with a log likelihood that adds up the curves of one run where these are correlated."""
    constant = posterior.draws["constant_data"].to_dataset() if "constant_data" in posterior.draws else xr.Dataset()
    if "run_index" not in constant:
        return posterior.draws
    density = posterior.draws["log_likelihood"].to_dataset()["log_loss"]
    languages = np.array(posterior.info.languages)[constant["language_index"]]
    curves = zip(density["run"].to_numpy().astype(str).tolist(), languages.tolist(), strict=True)
    runs = [curve.removesuffix(f":{language}") for curve, language in curves]
    of_runs = density.assign_coords(run=runs).groupby("run").sum()
    return posterior.draws.assign({"log_likelihood": xr.DataTree(of_runs.to_dataset(name="log_loss"))})


def _outlying(posterior: Posterior, replay: Replay | None) -> dict[str, float]:
    drawn = posterior.draws["posterior"]
    if "weight" in drawn:
        names, weights = drawn["run"].to_numpy(), drawn["weight"].mean(("chain", "draw")).to_numpy()
    elif replay is None:
        raise NotStoredError("the inputs of the predictive checks")
    elif not replay.weighs:
        raise NotStoredError("a model whose noise weights runs, as `bayes_atlas.modelling.curve_noise.observe` does")
    else:
        names, weights = posterior.draws["observed_data"]["run"].to_numpy(), replay.weights(DRAWS)
    return suspects(names, weights)


def _by_noise(posterior: Posterior) -> float | None:
    if "observed_data" not in posterior.draws:
        return None
    (data,) = posterior.draws["observed_data"].to_dataset().data_vars.values()
    return suspects_by_noise(data.notnull().sum(data.dims[1:]).to_numpy())


def _outdone(posterior: Posterior) -> dict[str, str]:
    """Return runs whose last loss exceeds that of a run of no larger size with at most half the data.

    The fitted noise plays no part in this, because the noise of a law that misfits may hide a failed run.
    """
    if "constant_data" not in posterior.draws:
        raise NotStoredError("the runs, which were not stored; fit again without --without-data")
    constant = posterior.draws["constant_data"].to_dataset()
    if not {"params", "tokens"} <= set(constant):
        return {}
    stored = posterior.draws["observed_data"].to_dataset()["loss"]
    last = stored.notnull().sum("step") - 1
    loss, names = stored.isel(step=last).to_numpy(), stored["run"].to_numpy().astype(str).tolist()
    final = {str(name): (v.isel(step=last) if "step" in v.dims else v).to_numpy() for name, v in constant.items()}
    found = {}
    for run in range(len(loss)):
        others = (loss < loss[run]) & (final["tokens"] <= final["tokens"][run] / HALF)
        others &= final["params"] <= final["params"][run] * np.exp(SAME_SIZE)
        if "unique" in final:
            others &= final["unique"] <= final["unique"][run]
        for name, values in final.items():  # all other covariates must be equal
            if name not in MAY_DIFFER and not name.startswith((TAU_PRIOR, AGE)):
                others &= np.isclose(values, values[run]).reshape(len(loss), -1).all(axis=1)
        if others.any():
            found[names[run]] = names[int(np.where(others, loss, np.inf).argmin())]
    return found


def _finite(predictive: PredictedRows) -> float:
    """Return the share of finite draws."""
    return float(np.isfinite(predictive.draws).mean())


def _listed(names: list[str]) -> str:
    """Return the first few of `names`, and the number of the others."""
    return ", ".join(names[:WORST]) + (f" and {len(names) - WORST} more" if len(names) > WORST else "")
