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
By = Annotated[
    list[str] | None,
    typer.Option(help="Label (vocabulary, mixture, ..) whose values get their own parameters.", show_default=False),
]
Sources = Annotated[int, typer.Option(help="Named sources per language, the most co-sampled (models with transfer).")]
Others = Annotated[bool, typer.Option(help="Count all other sources together too (models with transfer).")]
AllTokens = Annotated[bool, typer.Option("--all-tokens", help="Count every training token as the language's own.")]
Chains = Annotated[int, typer.Option(help="Chains.")]
Warmup = Annotated[int, typer.Option(help="Warm-up draws per chain.")]
Draws = Annotated[int, typer.Option(help="Draws per chain.")]
Platform = Annotated[str, typer.Option(help="cpu, gpu or tpu.")]
Probability = Annotated[float, typer.Option(help="Probability of the intervals.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw a figure: .svg, .png or .pdf.", show_default=False),
]
