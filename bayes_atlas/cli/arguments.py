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
    typer.Option(metavar="FILE", help="Draw a figure: .svg, .png or .pdf.", show_default=False),
]
Compute = Annotated[float, typer.Option(help="Budget in FLOPs, 6 per parameter and token.", show_default=False)]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="LANGUAGE=WEIGHT", help="How much a language's loss counts.", show_default=False),
]
Unique = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TOKENS | SOURCE=TOKENS", help="Unique tokens there are; unlimited if not given.", show_default=False
    ),
]
Shares = Annotated[
    list[str] | None,
    typer.Option("--share", metavar="SOURCE=SHARE", help="Share of the tokens; even if not given.", show_default=False),
]
MaxParams = Annotated[float | None, typer.Option(help="Largest model that can be served.", show_default=False)]
MaxTokens = Annotated[float | None, typer.Option(help="Most tokens there is time for.", show_default=False)]
Served = Annotated[
    float | None, typer.Option(help="Tokens of inference that the budget pays too, at 2 N each.", show_default=False)
]
