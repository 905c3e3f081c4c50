"""`crossover`: training from scratch or from a checkpoint."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import save
from bayes_atlas.cli.arguments import LEARNED, AsJson, LawError, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import chance, number, print_json, print_notes, print_rows, say
from bayes_atlas.cli.typed import PARAMS, TOKENS
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.crossover import Crossover

PANEL = "Languages and checkpoints"


@dataclass(frozen=True)
class Run:
    """Options of the planned run; see `bayes_atlas.decisions.crossover.find_crossover`."""

    language: Annotated[str | None, typer.Option(help="Language to train in.", show_default=False)] = None
    tokens: Annotated[float | None, typer.Option(**TOKENS, help="Planned training tokens.")] = None
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint; required if the posterior has several.", show_default=False)
    ] = None
    unique: Annotated[float | None, typer.Option(**TOKENS, help="Available unique tokens; unlimited by default.")] = (
        None
    )
    charge: Annotated[
        float, typer.Option(**TOKENS, help="Tokens of the checkpoint's own training, if the budget pays them.")
    ] = 0.0
    law_error: LawError = LEARNED


def crossover(
    posterior: PosteriorName,
    params: Annotated[float, typer.Option(**PARAMS, help="Parameters of the model.")],
    *,
    run: Run,
    points: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measured crossovers to add to the figure.", show_default=False),
    ] = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Compare training from scratch and from a checkpoint: which is better, how probably, and where the two cross.

    Examples:

    - `bayes-atlas crossover crossover-atlas --language de --params 2e9 --tokens 1e11`
    - `bayes-atlas crossover crossover-bytes --language de --checkpoint en --params 65.8e6 --tokens 1e10`
    """
    from bayes_atlas.decisions.crossover import find_crossover
    from bayes_atlas.posterior import load_posterior

    found = find_crossover(load_posterior(posterior), params=params, **asdict(run))
    document = found.to_dict(probability)
    if plot is not None:
        from bayes_atlas.data.crossings import read_crossings
        from bayes_atlas.plots.crossover import crossover_by_size

        measured = None if points is None else read_crossings(points)
        save(crossover_by_size(found, points=measured, probability=probability), plot)
    elif points is not None:
        raise InputError("--points adds to a figure, and there is none; give --plot FILE")
    if as_json:
        print_json(document)
        return
    say(found.question)
    print_rows(found.rows(probability))
    _print_choice(found)
    print_notes(found.notes)


def _print_choice(found: "Crossover") -> None:
    """Print the probability of no crossover, and the better choice at the planned tokens."""
    if found.probability_none:
        lower, upper = map(number, found.within)
        say(f"No crossover between {lower} and {upper} tokens with probability {chance(found.probability_none)}.")
    if found.probability_below:
        share, least = chance(found.probability_below), number(found.within[0])
        say(f"From scratch is better from {least} tokens on, the fewest that are looked at, with probability {share}.")
    wins = found.probability_scratch_wins
    if found.planned is not None and wins is not None:
        say(f"With {number(found.planned)} tokens: {found.choice}; from scratch wins with probability {chance(wins)}.")
    wrong = found.loss_of_being_wrong
    if wrong is not None:
        scratch, checkpoint = (number(wrong[f"choosing_{name}"]) for name in ("scratch", "checkpoint"))
        say(f"Expected loss of being wrong: {scratch} from scratch, {checkpoint} from {found.start}.")
