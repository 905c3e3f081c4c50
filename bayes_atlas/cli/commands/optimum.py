"""`optimum`: the compute-optimal size and data for a budget."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import draw_optimum, print_optimum, show
from bayes_atlas.cli.arguments import By, Compute, PosteriorName
from bayes_atlas.cli.options import Limits, Shown, Training
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.optimum import Optimum

PANEL = "Decisions"


def optimum(
    posterior: PosteriorName,
    compute: Compute,
    *,
    training: Training,
    limits: Limits,
    law_error: Annotated[
        Path | None,
        typer.Option(
            metavar="RUNS",
            help="The run table that was fitted: intervals with the error of the law that it shows, too.",
            show_default=False,
        ),
    ] = None,
    by: By = None,
    shown: Shown,
) -> None:
    """Find the compute-optimal size and data for a budget, with intervals, and the plan to act on.

    Examples:

    - `bayes-atlas optimum chinchilla-2022 --compute 5.88e23`

    - `bayes-atlas optimum datablations-2023 --compute 1e21 --unique 1e9`

    - `bayes-atlas optimum ./mine --compute 1e20 --law-error runs.csv`

    - `bayes-atlas optimum ./mine --compute 1e22 --weight sw=3 --weight en=1 --unique sw=7.7e8 --served 1e12`
    """
    from bayes_atlas.decisions.optimum import optimum as decide
    from bayes_atlas.posterior import load_posterior

    if by and law_error is None:
        raise InputError("--by says how --law-error is grouped, and there is none; leave it out, or give the run table")
    request = {**training.request(), **asdict(limits)}
    decision = decide(load_posterior(posterior, parameters_only=True), compute=compute, **request)
    if law_error is not None:
        decision = _with_law_error(decision, law_error, by or [])
    show(
        decision,
        shown,
        partial(print_optimum, decision, shown.probability),
        partial(draw_optimum, decision),
    )


def _with_law_error(decision: "Optimum", runs: Path, by: list[str]) -> "Optimum":
    from bayes_atlas.data.runs import group_runs, read_runs
    from bayes_atlas.validation.law_error_within import Misfit, add_law_error

    table = read_runs(runs)
    misfit = Misfit.of(decision.problem.objective.posterior, group_runs(table, by) if by else table)
    return add_law_error(decision, misfit)
