"""`expand`: growth from K to r K languages at equal loss."""

from typing import Annotated, Any

import typer

from bayes_atlas.cli.answers import explain_law_error, save
from bayes_atlas.cli.arguments import LEARNED, AsJson, LawError, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import print_json, print_notes, print_rows, say
from bayes_atlas.cli.typed import PARAMS, TOKENS

PANEL = "Decisions"


def expand(
    posterior: PosteriorName,
    factor: Annotated[
        float, typer.Option(help="r: factor by which the number of languages grows.", show_default=False)
    ],
    language: Annotated[
        str | None, typer.Option(help="Language whose loss stays equal; a typical one by default.", show_default=False)
    ] = None,
    params: Annotated[
        float | None, typer.Option(**PARAMS, help="Model size of the run to grow from, in parameters.")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(**TOKENS, help="Training tokens of this run, of all languages.")
    ] = None,
    languages: Annotated[
        float | None, typer.Option(help="Number of languages of this run.", show_default=False)
    ] = None,
    law_error: LawError = LEARNED,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Find the larger model and the additional data that keep the loss equal with r times as many languages.

    The growth starts from a compute-optimal run, unless you give a run.

    Examples:

    - `bayes-atlas expand capacity-simulated --factor 4`

    - `bayes-atlas expand capacity-simulated --factor 2 --params 2e9 --tokens 1e11 --languages 8`
    """
    from bayes_atlas.decisions.expand import frontier
    from bayes_atlas.posterior import load_posterior

    loaded = load_posterior(posterior)
    start: dict[str, Any] = {"language": language, "params": params, "tokens": tokens, "languages": languages}
    start["law_error"] = law_error
    found = frontier(loaded, factor=factor, **start)
    if plot is not None:
        from bayes_atlas.plots import iso_loss

        others = [frontier(loaded, factor=r, **start) for r in (2.0, 4.0, 8.0, 16.0) if r < factor]
        save(iso_loss([*others, found], probability=probability), plot)
    if as_json:
        print_json(found.to_dict(probability))
        return
    say(found.question)
    print_rows(found.rows(probability))
    explain_law_error(found.expansion)
    if found.too_small is not None:
        say(f"Below {found.too_small:.3g} times the size, no amount of data keeps the loss in half of the draws.")
    print_notes(found.notes)
