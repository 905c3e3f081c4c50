"""`scores`: transfer scores measured by a bilingual study."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import interval
from bayes_atlas.cli.arguments import AsJson, Chains, Draws, Probability, RunsFile, Warmup
from bayes_atlas.cli.console import chance, new_table, number, out, print_json, print_notes, say, writing
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.transfer_scores import BilingualScores

PANEL = "Languages and checkpoints"


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


def _print_scores(found: "BilingualScores", left_out: Mapping[str, int], probability: float) -> None:
    for reason, rows in left_out.items():
        say(f"Left out: {rows:,} rows, which {reason}")
    table = new_table("source -> target", "tokens", "score", "error", interval(probability), "P(reached)")
    for each in found.pairs:
        values = each.to_dict(probability)
        score = f"below {number(each.bound, 3)}" if each.censored else number(each.score, 3)
        lower, upper = ("none" if values[end] is None else number(values[end], 3) for end in ("lower", "upper"))
        reached = chance(each.probability_reached)
        name = f"{each.source} -> {each.target}"
        table.add_row(name, number(each.anchor), score, number(each.error, 2), f"{lower} to {upper}", reached)
    out.print(table)
    print_notes(found.notes)
