"""Does the law describe the runs, and do the runs or the priors decide? What there is to see beyond the sampling.

None of it says that a posterior is wrong: each finding is a remark. Rows are those that were fitted, so that
predictions of them are better than of others; what holds of rows that were not is for `bayes_atlas.validation`.
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
from bayes_atlas.data.outliers import suspects, suspects_by_noise
from bayes_atlas.data.size_groups import SAME_SIZE
from bayes_atlas.inference.evaluate import NotStoredError, Replay, stored_log_prior
from bayes_atlas.inference.staleness import is_stale
from bayes_atlas.observations.curves import TAU_PRIOR
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.proper_scores import LEVELS, PIT_BINS

DRAWS = 1000  # of a predictive
BAND = 0.95  # probability that all of the ECDF of calibrated PIT values stays inside its band
WORST = 5
WIDEST = 0.99  # central interval of the prior predictive that should hold what was observed
HALF = 2.0  # how much more data a run has than another that outdoes it, at least: with like data noise may decide
SENSITIVE = 0.05  # of the power-scaling diagnostic, from which on a parameter depends on what is scaled

MAY_DIFFER = ("params", "tokens", "unique", "stage", "epochs", "size_index")  # covariates that `outdone` runs differ in


@dataclass(frozen=True)
class PredictedRows:
    """Predictive draws of rows that were observed; on the natural scale where the model observes a logarithm."""

    quantity: str  # loss, ..
    labels: list[str]  # (row,) run, and the number of its checkpoint where runs have several
    last: Flags  # (row,) the last of its run: these are independent, checkpoints of one run are not
    observed: Floats  # (row,)
    draws: Floats  # (row, draw)

    @cached_property
    def pit(self) -> Floats:
        """Predictive probability of a value up to the observed one, ``(row,)``: uniform if the predictive holds."""
        return np.asarray((self.draws <= self.observed[:, None]).mean(axis=1))

    @property
    def band(self) -> float:
        """How far from uniform the ECDF of the PIT of last rows may be anywhere: half of Kolmogorov's band."""
        return float(kstwo.ppf(BAND, self.last.sum()))

    @property
    def within_band(self) -> bool:
        """Whether that PIT may be uniform."""
        return bool(kstest(self.pit[self.last], "uniform").statistic <= self.band)

    def inside(self, level: float, of: Flags | None = None) -> float:
        """Share of rows, or of some `of` them, inside the central interval of probability `level`."""
        inside = np.abs(self.pit - 0.5) <= level / 2
        return float((inside if of is None else inside[of]).mean())

    def interval(self, level: float) -> tuple[float, float]:
        """Central interval of all rows' draws together."""
        finite = self.draws[np.isfinite(self.draws)]
        lower, upper = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
        return float(lower), float(upper)

    def worst(self) -> list[dict[str, Any]]:
        """The rows farthest from their predictive median, in halves of its central 68 %."""
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
        """What both kinds of predictive tell; JSON as it is."""
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
    likelihood: float | None  # None where the pointwise log likelihood was not stored

    @property
    def diagnosis(self) -> str:
        """What the two together say; nothing where the prior does not matter."""
        if not self.prior > SENSITIVE:
            return ""
        if self.likelihood is None:
            return "depends on its prior"
        return "prior-data conflict" if self.likelihood > SENSITIVE else "strong prior or weak likelihood"


@dataclass(frozen=True)
class Influence:
    """PSIS-LOO: the expected log density of curves left out, and those whose estimate cannot be relied on."""

    elpd: float
    se: float
    p: float
    curves: int
    limit: float  # of Pareto k
    above: dict[str, float]  # curve -> its k above the limit, largest first


@dataclass(frozen=True)
class Review:
    """What there is to see of a fit; None where what it needs is not stored, as `missing` says."""

    stale: bool
    prior: PredictedRows | None
    posterior: PredictedRows | None
    sensitivity: list[Sensitivity] | None  # of the law's parameters
    influence: Influence | None
    weights: dict[str, float] | None  # run -> how much it counts, least first, of those the law cannot account for
    by_noise: float | None  # how many runs noise alone would make count as little
    outdone: dict[str, str] | None  # run -> a better run with no more parameters and at most half its tokens
    missing: dict[str, str]  # part -> what it lacks, and what to do

    @property
    def remarks(self) -> list[str]:
        """What a reader should look at."""
        return [*self._of_prior(), *self._of_posterior(), *self._of_sensitivity(), *self._of_runs()]

    def to_dict(self) -> dict[str, Any]:
        """All of it; JSON as it is."""
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
            remarks.append(f"{1 - finite:.2%} of prior predictive draws are not finite: look at the model's priors")
        if (inside := self.prior.inside(WIDEST)) < 0.9:
            remarks.append(
                f"the prior predictive's {WIDEST:.0%} intervals hold {inside:.0%} of what was observed: priors exclude "
                f"what happened; widen them in the model"
            )
        return remarks

    def _of_posterior(self) -> list[str]:
        if self.posterior is None or self.posterior.within_band:
            return []
        found = (
            "wider than the runs scatter, which were fitted"
            if self.posterior.inside(0.5, of=self.posterior.last) > 0.5
            else "narrower than the runs scatter or off them: the law or its noise misfits; see the worst rows"
        )
        return [
            f"PIT values of the last rows of runs leave the {BAND:.0%} band of uniform ones: predictions are {found}"
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
            alone = "" if self.by_noise is None else f" (noise alone would make {self.by_noise:.2g} runs look so)"
            remarks.append(
                f"the law cannot account for {_listed(list(self.weights))}, which count little{alone}; see whether "
                f"they failed, and fit again without those that did"
            )
        if self.outdone:
            named = [f"{worse} (by {better})" for worse, better in self.outdone.items()]
            remarks.append(
                f"less data gave a lower loss than {_listed(named)}, which no law here allows: they failed, or "
                f"repeated their data too often; see the runs"
            )
        if self.influence is not None and self.influence.above:
            remarks.append(
                f"PSIS-LOO is not to be relied on for {_listed(list(self.influence.above))} (Pareto k above "
                f"{self.influence.limit:.2g}), on which the posterior hangs; `bayes-atlas compare --loo` refits "
                f"without them"
            )
        return remarks


ADVICE = {
    "prior-data conflict": "runs and prior disagree; see whether the prior is meant so",
    "strong prior or weak likelihood": "the runs say little of it; add runs that identify it (`bayes-atlas check RUNS` "
    "says what is missing)",
    "depends on its prior": "whether the runs say little or disagree, a fit with the data stored would tell",
}


def review_fit(posterior: Posterior) -> Review:
    """Compare a fit with its data and its priors, as far as what is stored allows. Executes the model.

    Raises:
        InputError: the posterior's model is not to be found.
    """
    stale, missing = is_stale(posterior), dict[str, str]()

    def attempt[T](part: str, compute: Callable[[], T], *, runs_model: bool = False) -> T | None:
        """`compute()`, or None and a line in `missing` where it cannot be computed."""
        if runs_model and stale:
            missing[part] = "the model as it was fitted, which has changed since; fit again"
            return None
        try:
            return compute()
        except NotStoredError as error:
            missing[part] = str(error)
            return None

    replay = attempt("prior and posterior prediction", partial(Replay.of, posterior), runs_model=True)
    predicted = {
        group: attempt(f"{group} prediction", partial(_predictive, posterior, replay, group))
        for group in ("prior", "posterior")
        if replay is not None
    }
    densities = attempt(
        "sensitivity to priors", partial(stored_log_prior, posterior), runs_model="log_prior" not in posterior.draws
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
        with np.errstate(over="ignore"):  # of the prior's: counted as not finite
            observed, draws = np.exp(observed), np.exp(draws)
    return PredictedRows(
        quantity=replay.site.removeprefix("log_") if is_log else replay.site,
        labels=labels,
        last=np.append(curve[1:] != curve[:-1], True),
        observed=observed,
        draws=draws,
    )


def _sensitivity(posterior: Posterior, densities: xr.Dataset) -> list[Sensitivity]:
    """Of every parameter of the law, those that depend most on their prior first."""
    tree = posterior.draws.assign({"log_prior": xr.DataTree(densities)})
    names = [name for name in posterior.law.PARAMETERS if name in tree["posterior"]]
    by_prior = _flat(az.psense(tree, var_names=names, group="prior"))
    by_likelihood = _flat(az.psense(tree, var_names=names, group="likelihood")) if "log_likelihood" in tree else {}
    found = [Sensitivity(name, value, by_likelihood.get(name)) for name, value in by_prior.items()]
    return sorted(found, key=lambda each: each.prior, reverse=True)


def _flat(values: xr.Dataset) -> dict[str, float]:
    """``alpha[sw]`` -> value; without parameters that do not vary, such as the diagonal of a matrix."""
    frame = az.dataset_to_dataframe(values.expand_dims(component=["value"]), sample_dims=["component"])
    return {str(name): float(value) for name, value in frame.loc["value"].items() if np.isfinite(value)}


def _influence(posterior: Posterior) -> Influence:
    if "log_likelihood" not in posterior.draws:
        raise NotStoredError("the group log_likelihood, which was not stored; fit again without --without-data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of Pareto k, which is what is reported
        loo = az.loo(posterior.draws, pointwise=True)
    (dim,) = loo.pareto_k.dims
    order = loo.pareto_k.sortby(-loo.pareto_k)
    above = order[(order > loo.good_k).to_numpy()]
    named = dict(zip(above[dim].to_numpy().astype(str).tolist(), above.to_numpy().tolist(), strict=True))
    return Influence(float(loo.elpd), float(loo.se), float(loo.p), loo.pareto_k.size, float(loo.good_k), named)


def _outlying(posterior: Posterior, replay: Replay | None) -> dict[str, float]:
    drawn = posterior.draws["posterior"]
    if "weight" in drawn:
        names, weights = drawn["run"].to_numpy(), drawn["weight"].mean(("chain", "draw")).to_numpy()
    elif replay is None:
        raise NotStoredError("what the predictive checks lack")
    elif not replay.weighs:
        raise NotStoredError("a model whose noise weighs runs, as `bayes_atlas.modelling.curve_noise.observe` does")
    else:
        names, weights = posterior.draws["observed_data"]["run"].to_numpy(), replay.weights(DRAWS)
    return suspects(names, weights)


def _by_noise(posterior: Posterior) -> float | None:
    if "observed_data" not in posterior.draws:
        return None
    (data,) = posterior.draws["observed_data"].to_dataset().data_vars.values()
    return suspects_by_noise(data.notnull().sum(data.dims[1:]).to_numpy())


def _outdone(posterior: Posterior) -> dict[str, str]:
    """Runs whose last loss is above that of a run of no larger size and half the data, however noisy the fit says
    losses are: where a law misfits, its noise may hide a run that failed.
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
        for name, values in final.items():  # what else they were given must be the same
            if name not in MAY_DIFFER and not name.startswith(TAU_PRIOR):
                others &= np.isclose(values, values[run]).reshape(len(loss), -1).all(axis=1)
        if others.any():
            found[names[run]] = names[int(np.where(others, loss, np.inf).argmin())]
    return found


def _finite(predictive: PredictedRows) -> float:
    """Share of draws that are finite."""
    return float(np.isfinite(predictive.draws).mean())


def _listed(names: list[str]) -> str:
    """The first few of `names`, and how many more there are."""
    return ", ".join(names[:WORST]) + (f" and {len(names) - WORST} more" if len(names) > WORST else "")
