"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RunsFile = Annotated[Path, typer.Argument(metavar="RUNS", help="Run table, .csv or .parquet.", show_default=False)]
PosteriorName = Annotated[
    str,
    typer.Argument(
        metavar="POSTERIOR", help="A posterior that ships, or a folder that a fit wrote.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Probability = Annotated[float, typer.Option(help="Probability of the intervals.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw a figure: .svg, .png or .pdf.", show_default=False),
]
