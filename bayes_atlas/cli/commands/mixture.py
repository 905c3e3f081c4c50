"""`mixture`: the share of each language in the training tokens."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from bayes_atlas.cli.answers import draw_mixture, print_mixture, show
from bayes_atlas.cli.arguments import LEARNED, Compute, LawError, PosteriorName, Weights
from bayes_atlas.cli.console import say
from bayes_atlas.cli.options import Limits, Shown
from bayes_atlas.cli.typed import pairs, texts, to_number

PANEL = "Decisions"


def mixture(
    posterior: PosteriorName,
    compute: Compute,
    weight: Weights = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=TOKENS", help="Available unique tokens; unlimited by default.", show_default=False
        ),
    ] = None,
    bound: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=LEAST:MOST", help="Least and largest share of a source.", show_default=False),
    ] = None,
    max_epochs: Annotated[
        float | None,
        typer.Option(help="Largest number of passes over the unique tokens of a source.", show_default=False),
    ] = None,
    law_error: LawError = LEARNED,
    *,
    limits: Limits,
    shown: Shown,
) -> None:
    """Find the shares of the languages, the size and the data of least loss, and compare with the usual mixtures.

    By default all languages of the posterior have equal weights.

    Example: `bayes-atlas mixture ./mine --compute 1e22 --weight sw=3 --weight en=1 --unique sw=7.7e8 --max-epochs 4`
    """
    from bayes_atlas.decisions.mixture import mixture as decide
    from bayes_atlas.posterior import load_posterior

    found = decide(
        load_posterior(posterior),
        compute=compute,
        weights=pairs("--weight", weight) or None,
        unique=pairs("--unique", unique),
        bounds={name: _ends(name, text) for name, text in texts("--bound", bound).items()},
        max_epochs=max_epochs,
        law_error=law_error,
        **asdict(limits),
    )

    def tables() -> None:
        say(found.question)
        print_mixture(found, shown.probability)

    show(found, shown, tables, partial(draw_mixture, found))


def _ends(name: str, text: str) -> tuple[float, float]:
    least, _, most = text.partition(":")
    return to_number(f"--bound {name}", least or "0"), to_number(f"--bound {name}", most or "1")
