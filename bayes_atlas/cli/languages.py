"""Commands about languages that help each other, and checkpoints: `scores`, `transfer` and `crossover`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.answers import interval, median_and_interval, save
from bayes_atlas.cli.arguments import AsJson, Chains, Draws, Plot, PosteriorName, Probability, RunsFile, Warmup
from bayes_atlas.cli.console import new_table, number, out, print_json, print_notes, say, writing
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.crossover import Crossover
    from bayes_atlas.decisions.summary import Summary
    from bayes_atlas.decisions.transfer_map import Pair, Source, TransferMap
    from bayes_atlas.decisions.transfer_scores import BilingualScores

SHOWN = 10  # sources in a table for people


def scores(
    runs: RunsFile,
    anchor: Annotated[
        list[float],
        typer.Option(
            help="Tokens of a target alone, whose loss is compared; several give a curve.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Score table to write (.csv), for `fit --model transfer`.", show_default=False
        ),
    ] = None,
    params: Annotated[
        float | None, typer.Option(help="Model size, where bilingual runs have several.", show_default=False)
    ] = None,
    seeds: Annotated[
        float, typer.Option(help="Relative sd of the loss of runs that differ in their seed alone.")
    ] = 0.0014,
    chains: Chains = 4,
    warmup: Warmup = 1000,
    draws: Draws = 1000,
    seed: Annotated[int, typer.Option(help="The same seed on the same machine gives the same scores.")] = 0,
    probability: Probability = 0.9,
    as_json: AsJson = False,
) -> None:
    """Transfer scores from runs on one language and on two half and half, with their errors and what may fake them.

    A run with a partner that never reaches the loss gives an upper bound instead of a score (censored).

    Examples:

    - `bayes-atlas scores runs.csv --anchor 42e9 -o scores.csv`

    - `bayes-atlas scores runs.csv --params 2e9 --anchor 1e10 --anchor 42e9`
    """
    from bayes_atlas.data.bilingual_design import bilingual_study
    from bayes_atlas.data.runs import read_runs
    from bayes_atlas.decisions.transfer_scores import check_anchors, transfer_scores

    study = bilingual_study(read_runs(runs), params)
    check_anchors(study.runs, anchor, one=output is not None)
    if output is not None and output.suffix != ".csv":
        raise InputError(f"cannot write scores to {output.name!r}; end its name in .csv")
    from bayes_atlas.inference.fit import fit

    posterior = fit(study.runs, "bilingual", chains=chains, warmup=warmup, draws=draws, seed=seed)
    found = transfer_scores(posterior, study.runs, anchor, seeds=seeds, seed=seed)
    if output is not None:
        with writing(output):
            found.table().to_csv(output, index=False)
    if as_json:
        written = None if output is None else str(output)
        asked = {"params": study.params, "anchors": anchor, "left_out": study.left_out, "table": written}
        print_json(asked | found.to_dict(probability))
        return
    _print_scores(found, study.left_out, probability)
    if output is not None:
        say(f"Wrote {output}")


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


def _print_scores(found: "BilingualScores", left_out: Mapping[str, int], probability: float) -> None:
    for reason, rows in left_out.items():
        say(f"Left out: {rows:,} rows, which {reason}")
    table = new_table("source -> target", "tokens", "score", "error", interval(probability), "P(reached)")
    for each in found.pairs:
        values = each.to_dict(probability)
        score = f"below {number(each.bound, 3)}" if each.censored else number(each.score, 3)
        lower, upper = ("none" if values[end] is None else number(values[end], 3) for end in ("lower", "upper"))
        chance = _chance(each.probability_reached)
        name = f"{each.source} -> {each.target}"
        table.add_row(name, number(each.anchor), score, number(each.error, 2), f"{lower} to {upper}", chance)
    out.print(table)
    print_notes(found.notes)


def _print_crossover(posterior: str, found: "Crossover", probability: float) -> None:
    start = "the checkpoint" if found.checkpoint is None else f"the checkpoint {found.checkpoint}"
    say(f"{posterior}: {found.language}, {number(found.params)} parameters, from scratch or from {start}")
    table = new_table("crossover", "median", interval(probability))
    for name, summary in found.summary(probability).items():
        table.add_row(name, *(("none in range", "-") if summary is None else _powers(summary)))
    out.print(table)
    if found.probability_none:
        lower, upper = map(number, found.within)
        say(f"No crossover between {lower} and {upper} tokens with probability {_chance(found.probability_none)}.")
    wins = found.probability_scratch_wins
    if found.planned is not None and wins is not None:
        say(f"With {number(found.planned)} tokens: {found.choice}; from scratch wins with probability {_chance(wins)}.")
    wrong = found.to_dict(probability)["expected_loss_of_being_wrong"]
    if wrong is not None:
        losses = (
            f"{number(wrong['choosing_scratch'])} from scratch, {number(wrong['choosing_checkpoint'])} from {start}"
        )
        say(f"Expected loss of being wrong: {losses}.")
    print_notes(found.notes)


def _print_sources(posterior: str, target: str, sources: Sequence["Source"], top: int, probability: float) -> None:
    say(f"{posterior}: what helps {target}")
    table = new_table("source", "score", interval(probability), "P(helps)", f"P(in top {top})")
    for each in sources[:SHOWN]:
        cells = (
            *median_and_interval(each["score"]),
            *map(_chance, (each["probability_helps"], each["probability_top"])),
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
        table.add_row(name, *median_and_interval(each["score"]), _chance(each["probability_helps"]))
    table.add_row("difference", *median_and_interval(found["asymmetry"]), "")
    out.print(table)
    chance = _chance(found["probability_forth_exceeds_back"])
    say(f"{pair.source} helps {pair.target} more than the reverse with probability {chance}.")


def _print_effects(found: "TransferMap", probability: float) -> None:
    table = new_table("in common, the rest equal", "adds to a score", interval(probability), "P(adds)")
    for name, summary in found.effects(probability).items():
        table.add_row(name, *median_and_interval(summary), _chance(found.probability_adds(name)))
    out.print(table)


def _powers(summary: "Summary") -> tuple[str, str]:
    return f"{summary['median']:.3g}", f"{summary['lower']:.3g} to {summary['upper']:.3g}"


def _chance(probability: float) -> str:
    return number(probability, 3)
