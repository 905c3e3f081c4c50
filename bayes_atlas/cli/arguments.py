"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_atlas.cli.typed import FLOPS, PARAMS, TOKENS

LARGEST_SEED = 2**32 - 1
RunsFile = Annotated[Path, typer.Argument(metavar="RUNS", help="Run table, .csv or .parquet.", show_default=False)]
PosteriorName = Annotated[
    str,
    typer.Argument(metavar="POSTERIOR", help="Name of a posterior that ships, or folder of a fit.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
By = Annotated[
    list[str] | None,
    typer.Option(
        help="Label column, such as vocabulary: each of its values gets its own parameters.", show_default=False
    ),
]
LEARNED = "learned"  # errors of the law are included by default
LawError = Annotated[
    str,
    typer.Option(
        "--law-error",
        metavar="learned | none",
        help="learned: include errors of the law, as its runs and public tables show them. none: the law holds.",
    ),
]
Probability = Annotated[float, typer.Option(help="Probability of the intervals.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Figure to write: .svg, .png or .pdf.", show_default=False),
]
Compute = Annotated[float, typer.Option(**FLOPS, help="Budget in FLOPs, counted as 6 N D, such as 3e23 or 10^23.")]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="LANGUAGE=WEIGHT", help="Weight of a language's loss.", show_default=False),
]
Unique = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TOKENS | SOURCE=TOKENS", help="Available unique tokens; unlimited by default.", show_default=False
    ),
]
Shares = Annotated[
    list[str] | None,
    typer.Option(
        "--share",
        metavar="SOURCE=SHARE",
        help="Share of the training tokens; equal shares by default.",
        show_default=False,
    ),
]
MaxParams = Annotated[float | None, typer.Option(**PARAMS, help="Largest model that can be served, such as 8B.")]
MaxTokens = Annotated[
    float | None, typer.Option(**TOKENS, help="Largest number of tokens that the schedule allows, such as 1.2T.")
]
Served = Annotated[
    float | None,
    typer.Option(**TOKENS, help="Tokens of inference to serve, paid from the same budget at 2 N each."),
]
