"""`validate`: fit to a part of the runs, score what is predicted for the rest."""

from typing import Annotated

import typer

from bayes_atlas.cli.arguments import AllTokens, AsJson, By, Chains, Draws, Others, Platform, RunsFile, Sources, Warmup
from bayes_atlas.cli.console import print_json
from bayes_atlas.cli.held_out import (
    Discrepancy,
    Holdout,
    Seed,
    Test,
    about,
    print_about,
    print_failed,
    print_scores,
    validated,
)

PANEL = "Validation"


def validate(
    runs: RunsFile,
    model: Annotated[
        str, typer.Option(help="A model that ships or the path of a model file, or a baseline: huber, varpro.")
    ] = "atlas",
    holdout: Holdout = None,
    test: Test = None,
    by: By = None,
    sources: Sources = 3,
    others: Others = True,
    all_tokens: AllTokens = False,
    discrepancy: Discrepancy = "rising",
    chains: Chains = 4,
    warmup: Warmup = 1000,
    draws: Draws = 1000,
    seed: Seed = 0,
    platform: Platform = "cpu",
    as_json: AsJson = False,
) -> None:
    """Fit a model to a part of the runs, and score what it predicts for the rest. Exits with 1 if sampling fails.

    Runs are held out whole. Scores are of loss: RMSE and R² of the predictive median, CRPS, the sum of log predictive
    densities (ELPD), and how many rows intervals of several probabilities hold.

    Examples:

    - `bayes-atlas validate runs.csv --model atlas --holdout params`

    - `bayes-atlas validate runs.csv --model chinchilla --test later.csv`
    """
    sampler = {"chains": chains, "warmup": warmup, "draws": draws, "seed": seed, "platform": platform}
    ablation = {"sources": sources, "others": others, "all_tokens": all_tokens}
    found = validated(runs, [model], holdout, test, by=by or (), discrepancy=discrepancy, **ablation, **sampler)
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
