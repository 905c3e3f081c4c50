"""`mixture`: how much of each language to sample."""

from typing import Annotated

import typer

from bayes_atlas.cli.answers import draw_mixture, listed, print_mixture
from bayes_atlas.cli.arguments import (
    AsJson,
    Compute,
    MaxParams,
    MaxTokens,
    Plot,
    PosteriorName,
    Probability,
    Served,
    Weights,
)
from bayes_atlas.cli.console import print_json, print_notes, say
from bayes_atlas.cli.typed import pairs, texts, to_number

PANEL = "Decisions"


def mixture(
    posterior: PosteriorName,
    compute: Compute,
    weight: Weights = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=TOKENS", help="Unique tokens there are; unlimited if not given.", show_default=False
        ),
    ] = None,
    bound: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=LEAST:MOST", help="Least and largest share of a source.", show_default=False),
    ] = None,
    max_epochs: Annotated[
        float | None, typer.Option(help="Most passes over the unique tokens of a source.", show_default=False)
    ] = None,
    max_params: MaxParams = None,
    max_tokens: MaxTokens = None,
    served: Served = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """How much of each language to sample, with size and data, against the usual mixtures.

    All languages of the posterior count evenly unless weights are given.

    Example: `bayes-atlas mixture ./mine --compute 1e22 --weight sw=3 --weight en=1 --unique sw=7.7e8 --max-epochs 4`
    """
    from bayes_atlas.decisions.mixture import mixture as decide
    from bayes_atlas.posterior import load_posterior

    found = decide(
        load_posterior(posterior, parameters_only=True),
        compute=compute,
        weights=pairs("--weight", weight) or None,
        unique=pairs("--unique", unique),
        bounds={name: _ends(name, text) for name, text in texts("--bound", bound).items()},
        max_epochs=max_epochs,
        max_params=max_params,
        max_tokens=max_tokens,
        served=served,
    )
    if plot is not None:
        draw_mixture(found, plot, probability)
    if as_json:
        asked = {"posterior": posterior, "compute": compute, "weights": found.objective.weights}
        print_json(asked | {"flops": found.cost.convention} | found.to_dict(probability) | {"notes": found.notes})
        return
    say(
        f"{posterior}: mixture for {listed(found.objective.weights)} with {compute:.3g} FLOPs ({found.cost.convention})"
    )
    print_mixture(found, probability)
    print_notes(found.notes)


def _ends(name: str, text: str) -> tuple[float, float]:
    least, _, most = text.partition(":")
    return to_number(f"--bound {name}", least or "0"), to_number(f"--bound {name}", most or "1")
