"""Optimal sizes of a posterior against isoFLOP minima, the minima of parabolas through losses by log size.

`--held-out` sets how many of the largest budgets are not fitted. For each of the `--budgets` largest fitted budgets and
each language, the benchmark prints the size at the minimum of a parabola in log size through all runs, with the 90 %
interval of this minimum over resampled runs. Beside it stand two 90 % intervals of the posterior's optimal size: one
assumes that the law holds, the other includes the model error that the fitted runs show
(`bayes_atlas.validation.law_error_within`). No score uses held-out runs. Run from the root of the checkout:

    python benchmarks/isoflop.py --runs $BAYES_ATLAS_DATA/marin_isoflop.csv --held-out 1
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas import Misfit, fit, optimum, runs_from_frame, with_misfit

RESAMPLES = 1000
PROBABILITY = 0.9

type Floats = NDArray[np.float64]


def minimum(params: Floats, loss: Floats) -> float:
    """Size at which a parabola of loss in log size is least; not a number where it has no minimum."""
    log_size = np.log(params)
    if len(np.unique(log_size)) < 3:
        return np.nan
    curvature, slope, _ = np.polyfit(log_size - log_size.mean(), loss, 2)
    return float(np.exp(log_size.mean() - slope / (2 * curvature))) if curvature > 0 else np.nan


def resampled(params: Floats, loss: Floats) -> Floats:
    """The ends of the interval of the minimum over resampled runs."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(params), size=(RESAMPLES, len(params)))
    return _ends(np.array([minimum(params[rows], loss[rows]) for rows in chosen]))


def _ends(values: Floats) -> Floats:
    return np.asarray(np.nanquantile(values, [(1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2]))


def main() -> None:
    """Print a line for each budget and language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="with a column compute_budget")
    parser.add_argument("--held-out", type=int, default=1, help="how many of the largest budgets are not fitted")
    parser.add_argument("--budgets", type=int, default=2)
    parser.add_argument("--model", default="chinchilla")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.runs)
    budgets = np.sort(table["compute_budget"].unique())
    budgets = budgets[: len(budgets) - arguments.held_out]
    fitted = table[table["compute_budget"].isin(budgets)]
    runs = runs_from_frame(fitted, arguments.runs.name)
    posterior = fit(
        runs,
        arguments.model,
        chains=arguments.chains,
        warmup=arguments.warmup,
        draws=arguments.draws,
        with_data=False,
    )
    misfit = Misfit.of(posterior, runs)
    print(f"errors of the law: {misfit.typical:.2%} where runs are")
    heads = ("parabola", "resampled", "posterior", "with law's error")
    print(f"{'language':14}{'budget':>9}{'runs':>6}{heads[0]:>11}" + "".join(f"{head:>28}" for head in heads[1:]))
    inside: dict[str, list[bool]] = {"if the law holds": [], "with its error": []}
    for (language, budget), chosen in fitted.groupby(["language", "compute_budget"]):
        if budget not in budgets[-arguments.budgets :]:
            continue
        params, loss = chosen["params"].to_numpy(dtype=float), chosen["loss"].to_numpy(dtype=float)
        spent = float(np.exp(np.log(6.0 * params * chosen["tokens"].to_numpy()).mean()))
        best = minimum(params, loss)
        if np.isnan(best):
            print(f"{language!s:14}{budget:9.1e}{len(chosen):6} its parabola has no minimum")
            continue
        plain = optimum(posterior, compute=spent, language=str(language))
        intervals = [_ends(each.params) for each in (plain, with_misfit(plain, misfit))]
        for found, (lower, upper) in zip(inside.values(), intervals, strict=True):
            found.append(bool(lower <= best <= upper))
        marks = ["", *("" if found[-1] else "outside" for found in inside.values())]
        cells = [
            f"{lower:10.3g}-{upper:<9.3g}{mark:8}"
            for (lower, upper), mark in zip([resampled(params, loss), *intervals], marks, strict=True)
        ]
        print(f"{language!s:14}{budget:9.1e}{len(chosen):6}{best:11.3g}" + "".join(cells))
    for what, found in inside.items():
        print(f"{what}: {sum(found)} of {len(found)} minima are inside")
    for check in posterior.failed_checks:
        print(f"# the posterior failed {check.name}")


if __name__ == "__main__":
    main()
