"""Whether intervals hold beyond the runs: optima and losses of real tables, cut at part of their range.

Each table is cut by compute, by size and by tokens. The model is fitted to the smaller part, and predicts the larger:
its losses, and the minimum of a parabola through the losses of each sweep of one budget. The prediction of a minimum is
that of the same estimator on the same runs, with noise. Each table is one unit, and the errors of laws that public
tables show are learned without it. Three predictions stand side by side: of the law alone, of the law with its errors,
and a Huber point fit with a bootstrap. The control replaces the losses by draws from the law. Run from the root of the
checkout:

    python -m benchmarks.extrapolation
    python -m benchmarks.extrapolation --control
"""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from bayes_atlas import InputError, Posterior, fit, load_posterior, optimum, predict, runs_from_frame
from bayes_atlas.arrays import Floats
from bayes_atlas.law_error import learning
from bayes_atlas.law_error.population import PUBLIC, Population
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.baselines import BaselineError, huber, predict_baseline
from bayes_atlas.validation.predict import Prediction
from bayes_atlas.validation.proper_scores import RowScores
from benchmarks.law_error import learned
from benchmarks.public_tables import PublicTable, public_tables

CUTS = {"compute / 3": ("compute", 3.0), "compute / 10": ("compute", 10.0), "compute / 30": ("compute", 30.0)}
CUTS |= {"params / 2.5": ("params", 2.5), "tokens / 2.5": ("tokens", 2.5)}
FEWEST, FEWEST_VALUES, FEWEST_TESTED = 12, 3, 3  # rows, distinct sizes and tokens of what is fitted; rows of the rest
SAME_BUDGET = 0.12  # gap in log compute that divides sweeps
SWEEP = 5  # least runs of a sweep
SPREAD = 0.7  # least range of a sweep's log sizes
PROBABILITY = 0.9


@dataclass(frozen=True)
class Case:
    """One cut of a table."""

    table: str
    cut: str
    fitted: pd.DataFrame
    rest: pd.DataFrame
    model: str

    @cached_property
    def largest(self) -> float:
        """Largest log compute of the fitted part."""
        return float(_log_compute(self.fitted).max())

    @property
    def name(self) -> str:
        """Name of table and cut."""
        return f"{self.table}, {self.cut}"


def cases(name: str, table: PublicTable) -> Iterator[Case]:
    """Yield the cuts of a table that leave enough to fit and to test."""
    frame = table.frame.assign(compute=np.exp(_log_compute(table.frame)) if "tokens" in table.frame else np.nan)
    for cut, (column, factor) in CUTS.items():
        if column not in frame or frame[column].isna().any():
            continue
        small = frame[column] <= frame[column].max() / factor
        fitted, rest = frame[small], frame[~small]
        distinct = min(fitted["params"].nunique(), fitted["tokens"].nunique()) if len(fitted) else 0
        known = rest["language"].isin(fitted["language"])
        if len(fitted) < FEWEST or distinct < FEWEST_VALUES or known.sum() < FEWEST_TESTED:
            continue
        yield Case(name, cut, fitted.drop(columns="compute"), rest[known].drop(columns="compute"), table.model)


def sweeps(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the runs of one language and one budget that differ in size."""
    for _, own in rows.groupby("language"):
        logs = _log_compute(own)
        order = np.argsort(logs)
        group = np.concatenate([[0], np.cumsum(np.diff(logs[order]) > SAME_BUDGET)])
        for number in np.unique(group):
            sweep = own.iloc[order[group == number]]
            if len(sweep) >= SWEEP and np.ptp(np.log(sweep["params"])) >= SPREAD and "unique" not in sweep:
                yield sweep


def vertex(params: Floats, losses: Floats) -> Floats:
    """Return log sizes ``(draw,)`` where parabolas through `losses` ``(run, draw)`` are least; infinite without one."""
    logs = np.log(params)
    centred = np.vander(logs - logs.mean(), 3)
    curvature, slope, _ = np.linalg.lstsq(centred, losses, rcond=None)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = logs.mean() - slope / (2 * curvature)
    return np.where(curvature > 0, found, np.where(slope < 0, np.inf, -np.inf))


def fitted_to(case: Case, settings: dict[str, Any]) -> Posterior:
    """Return the posterior of the fitted part, without errors of its law."""
    return fit(
        runs_from_frame(case.fitted, f"{case.table}.csv"), case.model, with_data=False, law_error=False, **settings
    )


@cache
def left_out(table: str, shipped: str = PUBLIC) -> Population:
    """Return what all public tables but one show, from the evidence that is stored with a posterior."""
    posterior = load_posterior(shipped)
    constant, observed = (posterior.draws[name].to_dataset() for name in ("constant_data", "observed_data"))
    others = [name for name in posterior.info.languages if name != table]
    dims, shape = ("table", "kappa"), (len(others), constant.sizes["kappa_given"])

    def of_tables(values: xr.DataArray) -> tuple[tuple[str, str], Floats]:
        chosen = values.sel(language=others).to_numpy().astype(float)
        return dims, np.broadcast_to(chosen.reshape(len(others), -1), shape)

    columns = {"evidence": constant["log_evidence"], "log_q": observed["log_q"], "error": constant["error"]}
    rows = xr.Dataset(
        {name: of_tables(values) for name, values in columns.items()},
        {"table": others, "kappa": np.exp(constant["log_kappa"].to_numpy().astype(float))},
        {"name": f"without {table}", "sha256": "-"},
    )
    return Population.of(fit(rows, "law_error", with_data=False))


def rows_of(case: Case, part: pd.DataFrame) -> xr.Dataset:
    """Return a part of a table as rows of runs that start from scratch."""
    return runs_from_frame(part, f"{case.table}.csv")


def simulated(case: Case, posterior: Posterior, seed: int) -> Case:
    """Return the case with losses from the law at one draw of a posterior of the whole table."""
    whole = pd.concat([case.fitted, case.rest])
    rows = rows_of(case, whole)
    prediction = predict(posterior, rows, rows, law_error="none")
    rng = np.random.default_rng(seed)
    draw = int(rng.integers(prediction.location.shape[1]))
    scale = np.broadcast_to(prediction.scale, prediction.location.shape)[:, draw]
    loss = np.exp(prediction.location[:, draw] + scale * rng.standard_t(4, len(whole)))
    whole = whole.assign(loss=loss)
    return Case(case.table, case.cut, whole.iloc[: len(case.fitted)], whole.iloc[len(case.fitted) :], case.model)


class Forecast(NamedTuple):
    """How a method predicts the rest, and which size it would train."""

    predict: Callable[[xr.Dataset], Prediction]
    plan: Callable[[float, str], float]  # FLOPs and language -> parameters


def forecasts(case: Case, posterior: Posterior, wrong: Posterior) -> dict[str, Forecast]:
    """Return the methods that are compared, by name; without Huber where a language has too few runs."""
    fitted = rows_of(case, case.fitted)

    def of(which: Posterior, law_error: str) -> Forecast:
        def plan(compute: float, language: str) -> float:
            return optimum(which, compute=compute, language=language, law_error=law_error).action.params

        return Forecast(lambda rows: predict(which, rows, fitted, law_error=law_error), plan)

    def of_huber(compute: float, language: str) -> float:
        own = case.fitted[case.fitted["language"] == language]
        params, tokens, loss = (own[name].to_numpy(dtype=float) for name in ("params", "tokens", "loss"))
        constants = huber(params, tokens, loss)
        return float(chinchilla.optimum(compute, **constants._asdict())[0])

    made = {"law": of(posterior, "none"), "with errors": of(wrong, "learned")}
    with suppress(BaselineError, InputError):
        predict_baseline("huber", fitted.isel(row=[0]), fitted, bootstraps=1)
        made["huber"] = Forecast(lambda rows: predict_baseline("huber", rows, fitted, seed=0), of_huber)
    return made


def measured_minima(case: Case) -> list[tuple[pd.DataFrame, float]]:
    """Return the sweeps of the rest with the log size of their minimum; those with a minimum outside are left out."""
    found = []
    for sweep in sweeps(case.rest):
        measured = float(vertex(sweep["params"].to_numpy(), sweep["loss"].to_numpy()[:, None])[0])
        if np.log(sweep["params"].min()) < measured < np.log(sweep["params"].max()):
            found.append((sweep, measured))
    return found


def minima(case: Case, forecast: Forecast) -> list[dict[str, Any]]:
    """Return for each sweep of the rest whether the predicted minimum holds the measured one, and the plan's regret."""
    found = []
    for sweep, measured in measured_minima(case):
        rows = rows_of(case, sweep)
        params = rows["params"].to_numpy()
        drawn = forecast.predict(rows).draw(np.random.default_rng(0), 4000)
        ends = np.log(params.min()) - 5, np.log(params.max()) + 5
        lower, middle, upper = np.quantile(np.clip(vertex(params, drawn), *ends), [0.05, 0.5, 0.95])
        compute, language = float(_log_compute(sweep).mean()), str(sweep["language"].iloc[0])
        found.append(
            {
                "beyond": compute - case.largest,
                "inside": bool(lower <= measured <= upper),
                "width": upper - lower,
                "miss": middle - measured,
                "compute": float(np.exp(compute)),
                "language": language,
                "regret": _excess(sweep, np.log(forecast.plan(float(np.exp(compute)), language))),
            }
        )
    return found


def _excess(sweep: pd.DataFrame, log_params: float) -> float:
    """Return the relative regret of a size, on the parabola through the losses of a sweep."""
    logs = np.log(sweep["params"].to_numpy())
    curve = np.polyfit(logs - logs.mean(), sweep["loss"].to_numpy(), 2)
    best = -curve[1] / (2 * curve[0])
    return float(curve[0] * (log_params - logs.mean() - best) ** 2 / np.polyval(curve, best))


def _log_compute(frame: pd.DataFrame) -> Floats:
    return np.log(6.0) + np.log(frame["params"].to_numpy(dtype=float)) + np.log(frame["tokens"].to_numpy(dtype=float))


def main() -> None:
    """Print a line for each cut, and summaries by table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", action="store_true", help="losses drawn from the law")
    parser.add_argument("--tables", nargs="*", help="only these")
    parser.add_argument("--drift", type=float, default=learning.DRIFT, help="prior sd of the drift of log q")
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--output", type=Path, help="CSV of all scores")
    arguments = parser.parse_args()
    settings = {"warmup": arguments.warmup, "draws": arguments.draws}
    learning.DRIFT = arguments.drift
    scores, optima = [], []
    for name, table in public_tables(Path(os.environ["BAYES_ATLAS_DATA"])).items():
        if (arguments.tables and name not in arguments.tables) or "tokens" not in table.frame:
            continue
        made = list(cases(name, table))
        if not made:
            continue
        prior = left_out(name)
        if arguments.control:
            whole = fit(rows_of(made[0], table.frame), table.model, with_data=False, law_error=False, **settings)
            made = [simulated(case, whole, number) for number, case in enumerate(made)]
        for case in made:
            posterior = fitted_to(case, settings)
            cut = PublicTable(case.fitted, case.model)
            wrong = learned(case.table, cut, posterior, prior)
            line = f"{case.name:28} {len(case.fitted):4} fitted {len(case.rest):4} tested "
            rest = rows_of(case, case.rest)
            methods = forecasts(case, posterior, wrong)
            for what, method in methods.items():
                each = RowScores.of(method.predict(rest), rest).summary()
                scores.append({"table": name, "cut": case.cut, "prediction": what, "inside": each["coverage"]["0.9"]})
                scores[-1] |= {"crps": each["crps"], "width": each["width"]["0.9"]}
                line += f"| {what} {each['coverage']['0.9']:4.0%} {each['crps']:.4f} "
            if posterior.failed_checks:
                line += f"# failed {', '.join(check.name for check in posterior.failed_checks)}"
            if outside := len(list(sweeps(case.rest))) - len(measured_minima(case)):
                line += f"# not scored: {outside} sweeps without a minimum among their sizes"
            print(line, flush=True)
            for what, method in methods.items() if case.model == "chinchilla" else ():
                for found in minima(case, method):
                    optima.append({"table": name, "cut": case.cut, "prediction": what} | found)
                    print(optimum_line(what, found), flush=True)
    summarise(pd.DataFrame(scores), pd.DataFrame(optima))
    if arguments.output:
        pd.DataFrame(scores).to_csv(arguments.output, index=False)


def optimum_line(what: str, found: dict[str, Any]) -> str:
    """Return what is printed of one predicted minimum."""
    where = f"{found['compute']:.2e} FLOPs, {found['beyond']:.1f} e-folds beyond"
    verdict = "inside" if found["inside"] else "OUTSIDE"
    figures = f"width {found['width']:.2f}, median {found['miss']:+.2f}, regret {found['regret']:.3%}"
    return f"    {found['language']:9} {where}, {what:11}: {verdict:7}, {figures}"


def summarise(scores: pd.DataFrame, optima: pd.DataFrame) -> None:
    """Print coverage with each table as one unit, and the share of cuts with a CRPS no worse than Huber's."""
    by_table = scores.groupby(["prediction", "table"])["inside"].mean().unstack(0)
    print("\nheld-out losses inside 90 % intervals, by table")
    print(by_table.round(2).to_string())
    print("mean over tables:", by_table.mean().round(3).to_dict())
    of_cuts = scores.pivot_table(index=["table", "cut"], columns="prediction", values=["inside", "crps"])
    errors = of_cuts["inside"]["with errors"]
    print(f"with errors, over {len(errors)} cuts: mean {errors.mean():.3f}, least {errors.min():.2f}")
    if "huber" in of_cuts["crps"]:
        both = of_cuts["crps"].dropna()
        better = (both["with errors"] <= both["huber"]).mean()
        print(f"CRPS no worse than Huber's on {better:.0%} of {len(both)} cuts")
    if len(optima):
        for what, own in optima.groupby("prediction"):
            tables = own.groupby("table")["inside"].mean()
            print(
                f"minima, {what}: {own['inside'].sum()} of {len(own)} inside; by table {tables.round(2).to_dict()}, "
                f"mean {tables.mean():.2f}; mean regret {own['regret'].mean():.4%}"
            )
            far = pd.cut(own["beyond"], [-1, 0.75, 1.5, 2.5, 5])
            print(
                own.groupby(far, observed=True)[["width", "inside"]]
                .agg({"width": "median", "inside": "mean"})
                .round(2)
                .to_string()
            )


if __name__ == "__main__":
    main()
