"""`transfer`: which languages help which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.answers import interval, median_and_interval, save
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import chance, new_table, out, print_json, print_notes, say
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.transfer_map import Pair, Source, TransferMap

PANEL = "Languages and checkpoints"


SHOWN = 10  # sources in a table for people


def transfer(
    posterior: PosteriorName,
    target: Annotated[
        str | None, typer.Option(help="Language to help; ranks all others as its sources.", show_default=False)
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="SOURCE TARGET", help="Two languages; compares both directions.", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option(help="How many sources count as the best.")] = 5,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Which languages help which: sources of a target ranked, both directions of a pair, what script and family add.

    Examples:

    - `bayes-atlas transfer transfer-atlas --target sw`

    - `bayes-atlas transfer transfer-atlas --pair en sw`

    - `bayes-atlas transfer transfer-atlas --plot map.svg`
    """
    from bayes_atlas.decisions.transfer_map import transfer_map
    from bayes_atlas.posterior import load_posterior

    if target is None and pair is None and plot is None:
        raise InputError("nothing was asked; give --target LANGUAGE, --pair SOURCE TARGET or --plot FILE")
    found = transfer_map(load_posterior(posterior))
    sources = None if target is None else found.sources(target, top=top, probability=probability)
    both = None if pair is None else found.pair(*pair, probability)
    if plot is not None:
        from bayes_atlas.plots import heatmap

        save(heatmap(found, top=top), plot)
    effects = found.effects(probability)
    if as_json:
        answer: dict[str, Any] = {"posterior": posterior, "target": target, "top": top, "sources": sources}
        compared = None if both is None else both.to_dict()
        print_json(answer | {"pair": compared, "effects": effects, "notes": found.notes})
        return
    if sources is not None and target is not None:
        _print_sources(posterior, target, sources, top, probability)
    if both is not None:
        _print_pair(both, probability)
    _print_effects(found, probability)
    print_notes(found.notes)


def _print_sources(posterior: str, target: str, sources: Sequence["Source"], top: int, probability: float) -> None:
    say(f"{posterior}: what helps {target}")
    table = new_table("source", "score", interval(probability), "P(helps)", f"P(in top {top})")
    for each in sources[:SHOWN]:
        cells = (
            *median_and_interval(each["score"]),
            *map(chance, (each["probability_helps"], each["probability_top"])),
        )
        table.add_row(each["source"], *cells)
    out.print(table)
    if len(sources) > SHOWN:
        say(f"({len(sources) - SHOWN} more sources: --json lists all)")


def _print_pair(pair: "Pair", probability: float) -> None:
    found: dict[str, Any] = pair.to_dict()
    table = new_table("direction", "score", interval(probability), "P(helps)")
    for each in (found["forth"], found["back"]):
        name = f"{each['source']} -> {each['target']}"
        table.add_row(name, *median_and_interval(each["score"]), chance(each["probability_helps"]))
    table.add_row("difference", *median_and_interval(found["asymmetry"]), "")
    out.print(table)
    more = chance(found["probability_forth_exceeds_back"])
    say(f"{pair.source} helps {pair.target} more than the reverse with probability {more}.")


def _print_effects(found: "TransferMap", probability: float) -> None:
    table = new_table("in common, the rest equal", "adds to a score", interval(probability), "P(adds)")
    for name, summary in found.effects(probability).items():
        table.add_row(name, *median_and_interval(summary), chance(found.probability_adds(name)))
    out.print(table)
