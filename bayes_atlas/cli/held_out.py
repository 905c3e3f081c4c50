"""Validation on held-out runs, and output of its scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bayes_atlas.cli.console import number, plural, print_columns, print_notes, say
from bayes_atlas.cli.options import HeldOut
from bayes_atlas.cli.sampling import progress_bar
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.inference.options import RunOptions
    from bayes_atlas.validation.held_out import Validation
    from bayes_atlas.validation.loo import LeaveOneOut


def validated(runs: Path, models: Sequence[str], held_out: HeldOut, **options: "Unpack[RunOptions]") -> "Validation":
    """Score `models` on held-out rows."""
    from bayes_atlas.data.runs import read_runs
    from bayes_atlas.validation.held_out import validate as run_validate

    holdout, test = held_out.holdout, held_out.test
    if holdout is not None and test is not None:
        raise InputError(f"--holdout {holdout} and --test {test} both choose the rows to score; give only one of them")
    rows = None if test is None else read_runs(test)
    split, law_error = holdout or "random", held_out.law_error
    with progress_bar() as report:
        options["report"] = report
        return run_validate(read_runs(runs), models, holdout=split, test=rows, law_error=law_error, **options)


def about(found: "Validation") -> dict[str, Any]:
    return {
        "holdout": found.holdout,
        "folds": len(found.n_train),
        "n_train": found.n_train,
        "left_out": found.left_out,
        "law_error": found.law_error,
        "notes": found.notes,
    }


def print_about(found: "Validation") -> None:
    rows = next(iter(found.scores.values())).loss.size
    folds = len(found.n_train)
    fitted = plural(found.n_train[0], "row") if folds == 1 else f"the rest in each of {folds} folds"
    say(f"Held out ({found.holdout}): {plural(rows, 'row')}; fitted: {fitted}")
    print_left_out(found)
    print_notes([note.rstrip(".") for note in found.notes])


def print_left_out(found: "Validation | LeaveOneOut") -> None:
    for reason, count in found.left_out.items():
        say(f"Left out: {plural(count, 'row')}, which {reason}")


def print_scores(summaries: dict[str, Any], what: str, weights: dict[str, float] | None = None) -> None:
    levels = [f"{float(level):.0%}" for level in next(iter(summaries.values()))["coverage"]]
    weight = ["weight"] if weights else []
    inside = [f"inside {levels[0]}", *levels[1:]]
    heads = (what, "rows", "RMSE", "R²", "CRPS", "ELPD", *weight, "90% width", *inside)
    rows = []
    for name, scores in summaries.items():
        accuracy = (scores["rmse"], scores["r2"], scores["crps"], scores["elpd"])
        cells = ["-" if value is None else number(value, 3) for value in accuracy]
        cells += [f"{weights[name]:.2f}" if name in weights else "-"] if weights else []
        cells += [number(scores["width"]["0.9"], 3), *(f"{share:.0%}" for share in scores["coverage"].values())]
        rows.append([name, f"{scores['n_test']:,}", *cells])
    print_columns(heads, rows)
    say(f"Inside {levels[0]} to {levels[-1]}: share of the rows inside intervals of this probability")


def print_failed(found: "Validation | LeaveOneOut") -> None:
    for name, failed in found.failed_checks.items():
        if failed:
            say(
                f"{name}: failed checks of the sampling: {', '.join(failed)}; its intervals may be too narrow: sample "
                f"longer (raise --max-minutes and --warmup, and leave out --draws)"
            )
