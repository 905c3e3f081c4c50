"""`scores`: transfer scores from a bilingual study."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_atlas.cli.arguments import AsJson, Probability, RunsFile
from bayes_atlas.cli.console import plural, print_json, print_notes, print_rows, say, writing
from bayes_atlas.cli.options import Sampling

PANEL = "Languages and checkpoints"


def scores(
    runs: RunsFile,
    anchor: Annotated[
        list[float],
        typer.Option(
            help="Tokens of the monolingual run whose loss is compared; repeat it for a curve.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Score table to write (.csv), for `fit --model transfer`.", show_default=False
        ),
    ] = None,
    params: Annotated[
        float | None,
        typer.Option(help="Model size in parameters; required if bilingual runs have several.", show_default=False),
    ] = None,
    seeds: Annotated[
        float, typer.Option(help="Relative sd of loss between runs that differ only in their seed.")
    ] = 0.0014,
    *,
    sampling: Sampling,
    probability: Probability = 0.9,
    as_json: AsJson = False,
) -> None:
    """Estimate transfer scores from runs on one language and on two in equal parts, with errors and caveats.

    If a bilingual run never reaches the monolingual loss, its score is censored: the table gives an upper bound.

    Examples:

    - `bayes-atlas scores runs.csv --anchor 42e9 -o scores.csv`

    - `bayes-atlas scores runs.csv --params 2e9 --anchor 1e10 --anchor 42e9`
    """
    from bayes_atlas.data.bilingual_design import bilingual_study
    from bayes_atlas.data.runs import read_runs
    from bayes_atlas.decisions.transfer_scores import check_anchors, check_table, transfer_scores

    study = bilingual_study(read_runs(runs), params)
    check_anchors(study.runs, anchor, one=output is not None)
    if output is not None:
        check_table(output)
    from bayes_atlas.inference.fit import fit

    posterior = fit(study.runs, "bilingual", **sampling.options())
    found = transfer_scores(posterior, study, anchor, seeds=seeds, seed=sampling.seed)
    if output is not None:
        with writing(output):
            found = found.save(output)
    if as_json:
        print_json(found.to_dict(probability))
        return
    for reason, rows in found.left_out.items():
        say(f"Left out: {plural(rows, 'row')}, which {reason}")
    print_rows(found.rows(probability))
    print_notes(found.notes)
    if output is not None:
        say(f"Wrote {output}")
