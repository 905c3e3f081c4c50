"""`validate`: fit to a part of the runs, and score predictions of the rest."""

from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.arguments import AsJson, RunsFile
from bayes_atlas.cli.console import print_json
from bayes_atlas.cli.held_out import about, print_about, print_failed, print_scores, validated
from bayes_atlas.cli.options import HeldOut, Runs, Sampling

if TYPE_CHECKING:
    from bayes_atlas.inference.options import RunOptions

PANEL = "Validation"


def validate(
    runs: RunsFile,
    model: Annotated[
        str, typer.Option(help="Name of a model that ships, path of a model file, or a baseline: huber, varpro.")
    ] = "atlas",
    *,
    held_out: HeldOut,
    selected: Runs,
    sampling: Sampling,
    as_json: AsJson = False,
) -> None:
    """Fit a model to a part of the runs, and score its predictions of the rest. Exits with 1 if sampling fails.

    Whole runs are held out. The scores of loss are RMSE and R² of the predictive median, CRPS, the sum of log
    predictive densities (ELPD), and the coverage of intervals of several probabilities.

    Examples:

    - `bayes-atlas validate runs.csv --model atlas --holdout params`

    - `bayes-atlas validate runs.csv --model chinchilla --test later.csv`
    """
    options: RunOptions = {**selected.options(), **sampling.options()}
    found = validated(runs, [model], held_out, **options)
    failed = found.failed_checks[model]
    summary = found.summary(model)
    if as_json:
        print_json({"runs": str(runs), "model": model} | about(found) | {"failed_checks": failed} | summary)
    else:
        print_about(found)
        languages = summary["by_language"].items()
        print_scores({name: scores for name, scores in languages} | {"(all rows)": summary}, "language")
        print_failed(found)
    raise typer.Exit(1 if failed else 0)
