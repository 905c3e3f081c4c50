"""Commands that hold rows out: `validate` and `compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.arguments import AllTokens, AsJson, By, Chains, Draws, Others, Platform, RunsFile, Sources, Warmup
from bayes_atlas.cli.console import new_table, number, out, print_json, print_notes, say
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.validation.held_out import Validation

Holdout = Annotated[
    str | None,
    typer.Option(
        metavar="SPLIT",
        help="params, tokens, compute (the largest), mixture, random, or language (each in turn).",
        show_default="random",
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(metavar="TEST", help="Run table to score instead of a part of RUNS.", show_default=False),
]
Discrepancy = Annotated[
    str,
    typer.Option(help="How the error of a law grows beyond what was fitted: rising, constant, root, linear, or none."),
]
Seed = Annotated[int, typer.Option(help="Of the sampler, and of random splits.")]


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
    found = _validated(runs, [model], holdout, test, by=by or (), discrepancy=discrepancy, **ablation, **sampler)
    failed = found.failed_checks[model]
    summary = found.summary(model)
    if as_json:
        print_json({"runs": str(runs), "model": model} | _about(found) | {"failed_checks": failed} | summary)
    else:
        _print_about(found)
        languages = summary["by_language"].items()
        _print_scores({name: scores for name, scores in languages} | {"all": summary}, "language")
        _print_failed(found)
    raise typer.Exit(1 if failed else 0)


def compare(
    runs: RunsFile,
    models: Annotated[
        str, typer.Option(metavar="MODEL,MODEL,..", help="Models by name or path, and baselines.")
    ] = "chinchilla,data_constrained,atlas,huber,varpro",
    holdout: Holdout = None,
    test: Test = None,
    by: By = None,
    sources: Sources = 3,
    discrepancy: Discrepancy = "rising",
    chains: Chains = 4,
    warmup: Warmup = 1000,
    draws: Draws = 1000,
    seed: Seed = 0,
    platform: Platform = "cpu",
    as_json: AsJson = False,
) -> None:
    """Score models on the same held-out rows, and point fits with bootstrap intervals. Exits with 1 if sampling fails.

    The baselines `huber` and `varpro` are always compared with, where every language has enough runs for them. Weights
    are those of stacking: the mixture of models that gives the held-out rows the highest density.

    Example: `bayes-atlas compare runs.csv --models chinchilla,data_constrained,atlas --holdout params`
    """
    from bayes_atlas.validation.baselines import BASELINES

    asked = [name.strip() for name in models.split(",") if name.strip()]
    everything = list(dict.fromkeys([*asked, *BASELINES]))
    sampler = {"chains": chains, "warmup": warmup, "draws": draws, "seed": seed, "platform": platform}
    found = _validated(
        runs, everything, holdout, test, by=by or (), sources=sources, discrepancy=discrepancy, **sampler
    )
    summaries = {name: found.summary(name) for name in found.scores}
    weights = found.weights()
    if as_json:
        scored = {
            name: summary | {"weight": weights[name], "failed_checks": found.failed_checks[name]}
            for name, summary in summaries.items()
        }
        print_json({"runs": str(runs)} | _about(found) | {"models": scored})
    else:
        _print_about(found)
        _print_scores(summaries, "model", weights)
        _print_failed(found)
    raise typer.Exit(1 if any(found.failed_checks.values()) else 0)


def _validated(
    runs: Path, models: Sequence[str], holdout: str | None, test: Path | None, *, discrepancy: str, **settings: Any
) -> "Validation":
    from bayes_atlas.runs import read_runs
    from bayes_atlas.validation.held_out import validate as run_validate

    if holdout is not None and test is not None:
        raise InputError(f"both --holdout {holdout} and --test {test} say what to score; leave one out")
    rows = None if test is None else read_runs(test)
    form = None if discrepancy == "none" else discrepancy
    return run_validate(read_runs(runs), models, holdout=holdout or "random", test=rows, discrepancy=form, **settings)


def _about(found: "Validation") -> dict[str, Any]:
    return {
        "holdout": found.holdout,
        "folds": len(found.n_train),
        "n_train": found.n_train,
        "left_out": found.left_out,
        "discrepancy": found.discrepancy,
        "notes": found.notes,
    }


def _print_about(found: "Validation") -> None:
    rows = next(iter(found.scores.values())).loss.size
    fitted = (
        f"{found.n_train[0]:,} rows" if len(found.n_train) == 1 else f"the rest in each of {len(found.n_train)} folds"
    )
    say(f"Held out ({found.holdout}): {rows:,} rows; fitted: {fitted}")
    for reason, count in found.left_out.items():
        say(f"Left out: {count:,} rows, which {reason}")
    for name, by_fold in found.discrepancy.items():
        every = [(size, error) for errors in by_fold for size, error in errors.items()]
        if every:
            largest = {size: max(error for other, error in every if other == size) for size, _ in every}
            wrong = ", ".join(f"{error:.1%} for {size}" for size, error in largest.items())
            say(f"{name}: taken to be wrong, at one e-fold beyond what was fitted, by typically {wrong}")
    print_notes([note.rstrip(".") for note in found.notes])


def _print_scores(summaries: dict[str, Any], what: str, weights: dict[str, float] | None = None) -> None:
    inside = [f"{float(level):.0%}" for level in next(iter(summaries.values()))["coverage"]]
    table = new_table(
        what, "rows", "RMSE", "R²", "CRPS", "ELPD", *inside, "90% width", *(["weight"] if weights else [])
    )
    for name, scores in summaries.items():
        accuracy = (scores["rmse"], scores["r2"], scores["crps"], scores["elpd"])
        cells = ["-" if value is None else number(value, 3) for value in accuracy]
        cells += [f"{share:.0%}" for share in scores["coverage"].values()] + [number(scores["width"]["0.9"], 3)]
        cells += [f"{weights[name]:.2f}"] if weights else []
        table.add_row(name, f"{scores['n_test']:,}", *cells)
    out.print(table)
    say(f"Under {inside[0]} to {inside[-1]}: the rows that intervals of this probability hold")


def _print_failed(found: "Validation") -> None:
    for name, failed in found.failed_checks.items():
        if failed:
            say(f"{name}: checks of the sampling failed: {', '.join(failed)}; raise --warmup and --draws")
