"""`transfer`: transfer between languages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import interval, median_and_interval, save
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import chance, new_table, number, out, plural, print_json, print_notes, say
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.summary import Summary
    from bayes_atlas.decisions.transfer_map import Pair, Source, TransferAnswer, TransferMap

PANEL = "Languages and checkpoints"


SHOWN = 10  # most sources of a table; --json has all


def transfer(
    posterior: PosteriorName,
    target: Annotated[
        str | None, typer.Option(help="Target language; ranks all others as its sources.", show_default=False)
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="SOURCE TARGET", help="Two languages, to compare both directions.", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option(help="Number of sources that count as the best.")] = 5,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Rank the sources of a target, compare both directions of a pair, and show the effects of script and family.

    Examples:

    - `bayes-atlas transfer transfer-atlas --target sw`

    - `bayes-atlas transfer transfer-atlas --pair en sw`

    - `bayes-atlas transfer transfer-atlas --plot map.svg`
    """
    from bayes_atlas.decisions.transfer_map import transfer_map
    from bayes_atlas.posterior import load_posterior

    if target is None and pair is None and plot is None:
        raise InputError("there is no question; give --target LANGUAGE, --pair SOURCE TARGET or --plot FILE")
    found = transfer_map(load_posterior(posterior)).answer(target=target, pair=pair, top=top)
    document = found.to_dict(probability)
    if plot is not None:
        from bayes_atlas.plots.transfer_map import transfer_answer

        save(transfer_answer(found), plot)
    if as_json:
        print_json(document)
        return
    answer = found.summary(probability)
    if answer["sources"] is not None:
        _print_sources(found, answer["sources"], probability)
    if found.pair is not None:
        _print_pair(found.pair, probability)
    _print_effects(found.map, answer["effects"], probability)
    print_notes(found.notes)


def _print_sources(found: "TransferAnswer", sources: Sequence["Source"], probability: float) -> None:
    say(f"{found.map.posterior.name}: transfer to {found.target}")
    table = new_table("source", "score", interval(probability), "P(helps)", f"P(in top {found.top})", "rank")
    for each in sources[:SHOWN]:
        cells = (
            *median_and_interval(each["score"]),
            *map(chance, (each["probability_helps"], each["probability_top"])),
            number(each["rank"], 3),
        )
        table.add_row(each["source"], *cells)
    out.print(table)
    if len(sources) > SHOWN:
        say(f"({plural(len(sources) - SHOWN, 'more source')}: --json lists all)")


def _print_pair(pair: "Pair", probability: float) -> None:
    found = pair.to_dict(probability)
    table = new_table("direction", "score", interval(probability), "P(helps)")
    for each in (found["forth"], found["back"]):
        name = f"{each['source']} -> {each['target']}"
        table.add_row(name, *median_and_interval(each["score"]), chance(each["probability_helps"]))
    table.add_row("difference", *median_and_interval(found["asymmetry"]), "")
    out.print(table)
    more = chance(found["probability_forth_exceeds_back"])
    say(f"{pair.source} helps {pair.target} more than the reverse with probability {more}.")


def _print_effects(found: "TransferMap", effects: Mapping[str, "Summary"], probability: float) -> None:
    table = new_table("in common, the rest equal", "adds to a score", interval(probability), "P(adds)")
    for name, summary in effects.items():
        table.add_row(name, *median_and_interval(summary), chance(found.probability_adds(name)))
    out.print(table)
