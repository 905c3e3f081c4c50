"""Influence of single runs on a compute-optimal size, by quick fits without each: `influence`."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError
from bayes_atlas.laws import TRAINING_FLOPS, chinchilla
from bayes_atlas.validation.laplace import Laplace, Problem, laplace

DRAWS = 1000


@dataclass(frozen=True)
class Influence:
    """How far the compute-optimal size moves when single runs are left out."""

    table: pd.DataFrame  # by run, most influential first: optimal_params, shift, pareto_k
    optimal_params: float  # median with all runs
    interval: tuple[float, float]  # 90 %, with all runs
    notes: list[str]


def influence(runs: xr.Dataset, compute: float) -> Influence:
    """Leave out each run in turn, and find the compute-optimal size under the Chinchilla law without it.

    Fits are approximate (`bayes_atlas.validation.laplace`): a screening that finds runs worth a look in seconds, not a
    posterior. Sizes are those of the law alone, without its errors.

    Args:
        runs: a run table of one language, from `read_runs`. All rows count as fresh data from scratch.
        compute: budget in FLOPs, at 6 FLOPs per parameter and token.

    Returns:
        By run: the median optimal size without it, its ``shift`` in log size as a share of the width of the 90 %
        interval with all runs, and Pareto k of the fit. Runs whose k is too large are noted.

    Raises:
        InputError: the table has several languages or a single run, `compute` is not positive, or the quick fit of all
            runs is not reliable.
    """
    if not (np.isfinite(compute) and compute > 0):
        raise InputError(f"compute is {compute:g}; it must be a positive number of FLOPs, such as 1e22")
    problem = Problem.of(runs)
    count = len(problem.names)
    if count < 2:
        raise InputError(f"{runs.attrs['name']} has a single run, so none would be left without it; add runs")
    whole = laplace(problem)
    lower, median, upper, pareto_k, reliable = _optimum(whole, compute)
    if not reliable:
        raise InputError(
            f"{runs.attrs['name']} is not suited to quick fits (Pareto k {pareto_k:.2f}), so influence cannot be "
            f"screened; compare fits with and without the runs in question"
        )
    width, found, doubtful = np.log(upper / lower), [], []
    for index, name in enumerate(problem.names):
        try:
            fit = laplace(problem, kept=_without(index, count), start=whole.mode)
            _, without, _, pareto_k, reliable = _optimum(fit, compute)
        except InputError:
            without, pareto_k, reliable = np.nan, np.inf, False
        found.append((name, without, np.log(without / median) / width, pareto_k))
        doubtful += [] if reliable else [name]
    table = pd.DataFrame(found, columns=["run", "optimal_params", "shift", "pareto_k"]).set_index("run")
    notes = [f"without {name} the quick fit is not reliable; fit without it to see" for name in doubtful[:5]]
    if len(doubtful) > len(notes):
        notes.append(f"so are those without {plural(len(doubtful) - len(notes), 'more run')}")
    return Influence(table.sort_values("shift", key=lambda shift: -shift.abs()), median, (lower, upper), notes)


def _without(index: int, count: int) -> Floats:
    return np.asarray(np.arange(count) != index, dtype=float)


def _optimum(fit: Laplace, compute: float) -> tuple[float, float, float, float, bool]:
    """Return lower end, median and upper end of the optimal size, Pareto k, and whether it is reliable."""
    drawn, references = fit.draws(DRAWS), fit.problem.references
    budget = compute / (TRAINING_FLOPS * references["params"] * references["tokens"])
    law = {name: drawn.parameters[name] for name in ("A", "B", "alpha", "beta")}
    params, _ = chinchilla.optimum(budget, **law)
    lower, median, upper = (drawn.quantile(params) * references["params"]).tolist()
    return lower, median, upper, drawn.pareto_k, drawn.reliable
