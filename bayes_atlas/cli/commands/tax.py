"""`tax`: extra compute for equal loss, between configurations of a language."""

from typing import Annotated

import typer

from bayes_atlas.cli.answers import explain_law_error, save
from bayes_atlas.cli.arguments import LEARNED, AsJson, LawError, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import print_json, print_notes, print_rows, say
from bayes_atlas.cli.typed import FLOPS

PANEL = "Decisions"


def tax(
    posterior: PosteriorName,
    language: Annotated[str, typer.Option(help="Language without labels, such as fr.", show_default=False)],
    compute: Annotated[list[float], typer.Option(**FLOPS, help="Budget of the baseline in FLOPs (repeatable).")],
    baseline: Annotated[
        str | None, typer.Option(help="Configuration to compare with; by default the first.", show_default=False)
    ] = None,
    unique: Annotated[
        float | None,
        typer.Option(help="Available unique tokens of the language; unlimited by default.", show_default=False),
    ] = None,
    law_error: LawError = LEARNED,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Find the extra compute that each configuration of a language needs for the loss of the baseline.

    Example: `bayes-atlas tax ./mine --language fr --compute 1e20 --compute 1e21`
    """
    from bayes_atlas.decisions.tax import efficiency_tax
    from bayes_atlas.posterior import load_posterior

    found = efficiency_tax(
        load_posterior(posterior),
        language=language,
        compute=compute,
        baseline=baseline,
        unique=unique,
        law_error=law_error,
    )
    document = found.to_dict(probability)
    if plot is not None:
        from bayes_atlas.plots import tax as draw

        save(draw(found, probability=probability), plot)
    if as_json:
        print_json(document)
        return
    say(found.question)
    print_rows(found.rows(probability))
    explain_law_error(found)
    print_notes(found.notes)
