"""`trajectory`: growth of the compute-optimal size and data with the budget."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import save, show
from bayes_atlas.cli.arguments import LEARNED, LawError, PosteriorName, Served, Weights
from bayes_atlas.cli.console import print_rows
from bayes_atlas.cli.options import Shown
from bayes_atlas.cli.typed import FLOPS, pairs

if TYPE_CHECKING:
    from bayes_atlas.decisions.trajectory import Trajectories

PANEL = "Decisions"


def trajectory(
    posterior: PosteriorName,
    least: Annotated[float, typer.Option("--from", **FLOPS, help="Smallest budget in FLOPs.")],
    most: Annotated[float, typer.Option("--to", **FLOPS, help="Largest budget in FLOPs.")],
    language: Annotated[
        list[str] | None,
        typer.Option(
            help="Language or configuration (repeatable); one path for each, by default for all.", show_default=False
        ),
    ] = None,
    weight: Weights = None,
    unique: Annotated[
        float | None,
        typer.Option(help="Available unique tokens of each language; unlimited by default.", show_default=False),
    ] = None,
    served: Served = None,
    law_error: LawError = LEARNED,
    points: Annotated[int, typer.Option(min=2, help="Budgets, evenly spaced in logs.")] = 9,
    *,
    shown: Shown,
) -> None:
    """Find the compute-optimal size and data over a range of budgets, with bands.

    With weights there is one path for the weighted languages together, in equal shares, and one for each `--language`.

    Example: `bayes-atlas trajectory datablations-2023 --from 1e19 --to 1e23 --unique 1e10`
    """
    from bayes_atlas.decisions.trajectory import budgets_between, trajectories
    from bayes_atlas.posterior import load_posterior

    found = trajectories(
        load_posterior(posterior),
        compute=budgets_between(least, most, points),
        languages=language or (),
        weights=pairs("--weight", weight),
        unique=unique,
        served=served,
        law_error=law_error,
    )
    show(
        found,
        shown,
        lambda: print_rows(found.rows(shown.probability)),
        partial(_draw, found),
    )


def _draw(found: "Trajectories", path: Path, probability: float) -> None:
    """Draw size and tokens over budgets."""
    from bayes_atlas.plots import new_axes, trajectories

    left, right = new_axes(2)
    trajectories(found.paths, "params", probability=probability, axes=left)
    save(trajectories(found.paths, "tokens", probability=probability, axes=right), path)
