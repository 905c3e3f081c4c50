"""Commands that hold rows out: `validate` and `compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bayes_atlas.cli.arguments import AllTokens, AsJson, By, Chains, Draws, Others, Platform, RunsFile, Sources, Warmup
from bayes_atlas.cli.console import new_table, number, out, print_json, print_notes, say
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.validation.held_out import Validation
    from bayes_atlas.validation.loo import LeaveOneOut

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
STACK = "stack"


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
        _print_scores({name: scores for name, scores in languages} | {"(all rows)": summary}, "language")
        _print_failed(found)
    raise typer.Exit(1 if failed else 0)


def compare(
    runs: RunsFile,
    models: Annotated[
        str, typer.Option(metavar="MODEL,MODEL,..", help="Models by name or path, and baselines.")
    ] = "chinchilla,data_constrained,atlas,huber,varpro",
    holdout: Holdout = None,
    test: Test = None,
    loo: Annotated[
        bool, typer.Option("--loo", help="Fit all runs, and leave out each in turn (PSIS-LOO), instead of a part.")
    ] = False,
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
    are those of stacking: the mixture of models that gives the held-out rows the highest density. The line `stack`
    scores that mixture, each half of the runs with weights chosen on the other half.

    With `--loo` each model is fitted once to all runs, and again without those that importance sampling cannot take
    out. ELPD is then the sum of the log densities of runs, all rows of a run together, each given all other runs.

    Examples:

    - `bayes-atlas compare runs.csv --models chinchilla,data_constrained,atlas --holdout params`

    - `bayes-atlas compare runs.csv --models chinchilla,data_constrained,atlas --loo`
    """
    from bayes_atlas.validation.baselines import BASELINES

    asked = [name.strip() for name in models.split(",") if name.strip()]
    sampler = {"chains": chains, "warmup": warmup, "draws": draws, "seed": seed, "platform": platform}
    if loo:
        _check_alone(holdout, test, discrepancy)
        _compare_loo(runs, asked, as_json, by=by or (), sources=sources, **sampler)
    everything = list(dict.fromkeys([*asked, *BASELINES]))
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
        stack = None if found.stack is None else found.stack.summary()
        print_json({"runs": str(runs)} | _about(found) | {"models": scored, "stack": stack})
    else:
        _print_about(found)
        stacked = {} if found.stack is None else {STACK: found.stack.summary()}
        _print_scores(summaries | stacked, "model", weights)
        _print_failed(found)
    raise typer.Exit(1 if any(found.failed_checks.values()) else 0)


def _check_alone(holdout: str | None, test: Path | None, discrepancy: str) -> None:
    """That nothing was asked for that leaving out single runs has no use for."""
    if holdout is not None or test is not None:
        named = f"--holdout {holdout}" if test is None else f"--test {test}"
        raise InputError(f"both --loo and {named} say what to score; leave one out")
    if discrepancy not in ("rising", "none"):
        raise InputError(
            f"--loo goes hardly beyond what was fitted, and has no error of the law there; leave out --discrepancy "
            f"{discrepancy}"
        )


def _compare_loo(runs: Path, asked: Sequence[str], as_json: bool, **settings: Any) -> NoReturn:
    """Leave-one-out scores, best first. Baselines have none: they are left out aloud. Exits as `compare` does."""
    from bayes_atlas.data.runs import read_runs
    from bayes_atlas.validation.baselines import BASELINES
    from bayes_atlas.validation.loo import leave_one_out

    points = [name for name in asked if name in BASELINES]
    found = leave_one_out(read_runs(runs), [name for name in asked if name not in points], **settings)
    notes = [*found.notes, *(f"{name} is a point fit, with no posterior to take runs out of" for name in points)]
    weights = found.weights()
    scores = {name: found.summary(name) | {"weight": weights[name]} for name in found.scores}
    if as_json:
        about = {"n_runs": found.n_runs, "n_rows": found.n_rows, "left_out": found.left_out, "notes": notes}
        failed = found.failed_checks
        models = {name: each | {"failed_checks": failed[name]} for name, each in scores.items()}
        print_json({"runs": str(runs)} | about | {"models": models})
    else:
        say(f"Left out in turn: each of {found.n_runs:,} runs, with all its rows ({found.n_rows:,} together)")
        _print_left_out(found)
        print_notes(notes)
        table = new_table("model", "ELPD", "SE", "difference", "SE", "p_loo", "high k", "refits", "weight")
        for name, each in scores.items():
            figures = [f"{each[key]:,.1f}" for key in ("elpd", "se", "elpd_diff", "dse", "p_loo")]
            table.add_row(name, *figures, f"{each['high_k']:,}", f"{each['refits']:,}", f"{each['weight']:.2f}")
        out.print(table)
        _print_failed(found)
    raise typer.Exit(1 if any(found.failed_checks.values()) else 0)


def _validated(
    runs: Path, models: Sequence[str], holdout: str | None, test: Path | None, *, discrepancy: str, **settings: Any
) -> "Validation":
    from bayes_atlas.data.runs import read_runs
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
    _print_left_out(found)
    for name, by_fold in found.discrepancy.items():
        every = [(size, error) for errors in by_fold for size, error in errors.items()]
        if every:
            largest = {size: max(error for other, error in every if other == size) for size, _ in every}
            wrong = ", ".join(f"{error:.1%} for {size}" for size, error in largest.items())
            say(f"{name}: taken to be wrong, at one e-fold beyond what was fitted, by typically {wrong}")
    print_notes([note.rstrip(".") for note in found.notes])


def _print_left_out(found: "Validation | LeaveOneOut") -> None:
    for reason, count in found.left_out.items():
        say(f"Left out: {count:,} rows, which {reason}")


def _print_scores(summaries: dict[str, Any], what: str, weights: dict[str, float] | None = None) -> None:
    inside = [f"{float(level):.0%}" for level in next(iter(summaries.values()))["coverage"]]
    table = new_table(
        what, "rows", "RMSE", "R²", "CRPS", "ELPD", *inside, "90% width", *(["weight"] if weights else [])
    )
    for name, scores in summaries.items():
        accuracy = (scores["rmse"], scores["r2"], scores["crps"], scores["elpd"])
        cells = ["-" if value is None else number(value, 3) for value in accuracy]
        cells += [f"{share:.0%}" for share in scores["coverage"].values()] + [number(scores["width"]["0.9"], 3)]
        cells += [f"{weights[name]:.2f}" if name in weights else "-"] if weights else []
        table.add_row(name, f"{scores['n_test']:,}", *cells)
    out.print(table)
    say(f"Under {inside[0]} to {inside[-1]}: the rows that intervals of this probability hold")


def _print_failed(found: "Validation | LeaveOneOut") -> None:
    for name, failed in found.failed_checks.items():
        if failed:
            say(f"{name}: checks of the sampling failed: {', '.join(failed)}; raise --warmup and --draws")
