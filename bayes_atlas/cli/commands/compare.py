"""`compare`: score several models on the same rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Unpack

import typer

from bayes_atlas.cli.arguments import AsJson, RunsFile
from bayes_atlas.cli.console import plural, print_columns, print_json, print_notes, say
from bayes_atlas.cli.held_out import about, print_about, print_failed, print_left_out, print_scores, validated
from bayes_atlas.cli.options import HeldOut, Runs, Sampling
from bayes_atlas.cli.sampling import progress_bar
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.inference.options import RunOptions

PANEL = "Validation"


STACK = "stack"


def compare(
    runs: RunsFile,
    models: Annotated[
        str, typer.Option(metavar="MODEL,MODEL,..", help="Models by name or path, and baselines.")
    ] = "chinchilla,data_constrained,atlas,huber,varpro",
    loo: Annotated[
        bool, typer.Option("--loo", help="Leave-one-out cross-validation by run (PSIS-LOO), instead of held-out rows.")
    ] = False,
    *,
    held_out: HeldOut,
    selected: Runs,
    sampling: Sampling,
    as_json: AsJson = False,
) -> None:
    """Score models on the same held-out rows, beside point fits with bootstrap intervals.

    The baselines `huber` and `varpro` are added if every language has enough runs for them. The weights are stacking
    weights: the mixture of models with these weights gives the rows of an inner hold-out, a part of the fitted rows,
    the highest density. The line `stack` scores this mixture on the held-out rows.

    With `--loo` each model is fitted to all runs. It is fitted again without the runs for which importance sampling is
    unreliable. ELPD is then the sum over runs of the log density of a run's rows, given all other runs.

    The exit code is 1 if a check of the sampling fails.

    Examples:

    - `bayes-atlas compare runs.csv --models chinchilla,data_constrained,atlas --holdout params`

    - `bayes-atlas compare runs.csv --models chinchilla,data_constrained,atlas --loo`
    """
    from bayes_atlas.validation.baselines import BASELINES

    asked = [name.strip() for name in models.split(",") if name.strip()]
    options: RunOptions = {**selected.options(), **sampling.options()}
    if loo:
        _check_alone(held_out)
        _compare_loo(runs, asked, as_json, **options)
    everything = list(dict.fromkeys([*asked, *BASELINES]))
    found = validated(runs, everything, held_out, **options)
    summaries = {name: found.summary(name) for name in found.scores}
    weights = found.weights or dict.fromkeys(found.scores, 1.0)
    if as_json:
        scored = {
            name: summary | {"weight": weights[name], "failed_checks": found.failed_checks[name]}
            for name, summary in summaries.items()
        }
        stack = None if found.stack is None else found.stack.summary()
        print_json({"runs": str(runs)} | about(found) | {"models": scored, "stack": stack})
    else:
        print_about(found)
        stacked = {} if found.stack is None else {STACK: found.stack.summary()}
        print_scores(summaries | stacked, "model", weights)
        print_failed(found)
    raise typer.Exit(1 if any(found.failed_checks.values()) else 0)


def _check_alone(held_out: HeldOut) -> None:
    """That nothing was asked for that leaving out single runs has no use for."""
    holdout, test = held_out.holdout, held_out.test
    if holdout is not None or test is not None:
        named = f"--holdout {holdout}" if test is None else f"--test {test}"
        raise InputError(f"both --loo and {named} say what to score; leave one out")


def _compare_loo(runs: Path, asked: Sequence[str], as_json: bool, **options: "Unpack[RunOptions]") -> NoReturn:
    """Print leave-one-out scores, best first, with a note on each baseline, and exit as `compare` does."""
    from bayes_atlas.data.runs import read_runs
    from bayes_atlas.validation.baselines import BASELINES
    from bayes_atlas.validation.loo import leave_one_out

    points = [name for name in asked if name in BASELINES]
    with progress_bar() as report:
        options["report"] = report
        found = leave_one_out(read_runs(runs), [name for name in asked if name not in points], **options)
    notes = [*found.notes, *(f"{name} is a point fit and has no leave-one-out score" for name in points)]
    weights = found.weights()
    scores = {name: found.summary(name) | {"weight": weights[name]} for name in found.scores}
    if as_json:
        about = {"n_runs": found.n_runs, "n_rows": found.n_rows, "left_out": found.left_out, "notes": notes}
        failed = found.failed_checks
        models = {name: each | {"failed_checks": failed[name]} for name, each in scores.items()}
        print_json({"runs": str(runs)} | about | {"models": models})
    else:
        say(f"Left out in turn: each of {plural(found.n_runs, 'run')}, with all its rows ({found.n_rows:,} together)")
        print_left_out(found)
        print_notes(notes)
        rows = []
        for name, each in scores.items():
            figures = [f"{each[key]:,.1f}" for key in ("elpd", "se", "elpd_diff", "dse", "p_loo")]
            rows.append([name, *figures, f"{each['high_k']:,}", f"{each['refits']:,}", f"{each['weight']:.2f}"])
        print_columns(("model", "ELPD", "SE", "difference", "SE", "p_loo", "high k", "refits", "weight"), rows)
        print_failed(found)
    raise typer.Exit(1 if any(found.failed_checks.values()) else 0)
