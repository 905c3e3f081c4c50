"""`crossover`: from scratch or from a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import interval, save
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import chance, new_table, number, out, print_json, print_notes, say
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.crossover import Crossover
    from bayes_atlas.decisions.summary import Summary

PANEL = "Languages and checkpoints"


def crossover(
    posterior: PosteriorName,
    params: Annotated[float, typer.Option(help="Parameters of the model.", show_default=False)],
    language: Annotated[str | None, typer.Option(help="Language to train in.", show_default=False)] = None,
    tokens: Annotated[
        float | None, typer.Option(help="Training tokens there is compute for.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint, where the posterior has several.", show_default=False)
    ] = None,
    unique: Annotated[
        float | None, typer.Option(help="Unique tokens there are; unlimited if not given.", show_default=False)
    ] = None,
    charge: Annotated[float, typer.Option(help="Tokens of the checkpoint's own training, if they are paid too.")] = 0.0,
    points: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measured crossovers to draw in the figure too.", show_default=False),
    ] = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Train from scratch or from a checkpoint: which is better, how surely, and where the two cross.

    Examples:

    - `bayes-atlas crossover crossover-atlas --language de --params 2e9 --tokens 1e11`
    - `bayes-atlas crossover crossover-bytes --language de --checkpoint en --params 65.8e6 --tokens 1e10`
    """
    from bayes_atlas.decisions.crossover import find_crossover
    from bayes_atlas.posterior import load_posterior

    loaded = load_posterior(posterior)
    found = find_crossover(
        loaded,
        params=params,
        language=language,
        tokens=tokens,
        checkpoint=checkpoint,
        unique=unique,
        charge=charge,
    )
    if plot is not None:
        from bayes_atlas.data.crossings import read_crossings
        from bayes_atlas.plots import crossovers

        measured = None if points is None else read_crossings(points)
        around = (min(params, 1e8), max(params, 1e10))
        save(
            crossovers(
                loaded, [found.language], checkpoint=checkpoint, params=around, points=measured, probability=probability
            ),
            plot,
        )
    elif points is not None:
        raise InputError("points are drawn in a figure; give --plot FILE too")
    if as_json:
        asked = {"posterior": posterior, "language": found.language, "params": params, "planned_tokens": tokens}
        print_json(asked | {"checkpoint": found.checkpoint, "charge": charge} | found.to_dict(probability))
        return
    _print_crossover(posterior, found, probability)


def _print_crossover(posterior: str, found: "Crossover", probability: float) -> None:
    start = "the checkpoint" if found.checkpoint is None else f"the checkpoint {found.checkpoint}"
    say(f"{posterior}: {found.language}, {number(found.params)} parameters, from scratch or from {start}")
    table = new_table("crossover", "median", interval(probability))
    for name, summary in found.summary(probability).items():
        table.add_row(name, *(("none in range", "-") if summary is None else _powers(summary)))
    out.print(table)
    if found.probability_none:
        lower, upper = map(number, found.within)
        say(f"No crossover between {lower} and {upper} tokens with probability {chance(found.probability_none)}.")
    wins = found.probability_scratch_wins
    if found.planned is not None and wins is not None:
        say(f"With {number(found.planned)} tokens: {found.choice}; from scratch wins with probability {chance(wins)}.")
    wrong = found.to_dict(probability)["expected_loss_of_being_wrong"]
    if wrong is not None:
        losses = (
            f"{number(wrong['choosing_scratch'])} from scratch, {number(wrong['choosing_checkpoint'])} from {start}"
        )
        say(f"Expected loss of being wrong: {losses}.")
    print_notes(found.notes)


def _powers(summary: "Summary") -> tuple[str, str]:
    return f"{summary['median']:.3g}", f"{summary['lower']:.3g} to {summary['upper']:.3g}"
