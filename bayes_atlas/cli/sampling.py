"""Output about the sampling of a posterior."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bayes_atlas.cli.console import err, new_table, out, plural, say

if TYPE_CHECKING:
    from bayes_atlas.folder.info import Check
    from bayes_atlas.posterior import Posterior
    from bayes_atlas.sampler.settings import Progress


@contextmanager
def progress_bar() -> Iterator[Callable[["Progress"], None]]:
    """Show a progress bar on stderr if it is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task("compiling", total=None, detail="")

        def report(progress: "Progress") -> None:
            pace = f"{progress.gradients:.0f} gradients/draw, step {progress.step_size:.2g}"
            wanted = f", to pass {progress.missing}" if progress.missing else ""
            detail = f"{pace}, {progress.divergences} divergences{wanted}"
            description = "warm-up" if progress.warming else "sampling"
            bar.update(task, description=description, completed=progress.done, total=progress.total, detail=detail)

        yield report


def sampling_report(posterior: "Posterior") -> dict[str, Any]:
    info = json.loads(posterior.info.model_dump_json())
    kept = ("title", "model", "law", "languages", "runs", "sampling", "checks", "versions", "created")
    return {name: info[name] for name in kept}


def print_posterior(posterior: "Posterior") -> None:
    info = posterior.info
    counts = f"{plural(info.runs.rows, 'row')}, {plural(info.runs.curves, 'curve')}"
    say(f"{info.title}: {counts}, {plural(len(info.languages), 'language')}")
    for reason, rows in info.runs.left_out.items():
        say(f"Left out: {plural(rows, 'row')}, which {reason}")
    sampling = info.sampling
    drawn = f"{plural(sampling.chains, 'chain')} of {plural(sampling.draws, 'draw')}"
    say(f"{drawn} after {sampling.warmup:,} of warm-up, {sampling.seconds:.0f} s")
    if sampling.attempts > 1:
        dropped = f"{plural(sampling.dropped, 'draw')} per chain" if sampling.dropped else "no draws"
        say(f"Adapted {sampling.attempts} times; the draws are those of one adaptation, {dropped} dropped")
    if sampling.kept < sampling.draws:
        say(f"Stored: {plural(sampling.kept, 'draw')} per chain, evenly spaced; the checks are those of all draws")
    if sampling.interrupted:
        say("Interrupted: there are fewer draws than requested")
    if sampling.ended:
        say(f"Sampling ended before all checks passed: {sampling.ended}")
    table = new_table("check", "", "value", "limit", "worst at")
    for check in info.checks:
        result = "pass" if check.passed else "FAIL"
        table.add_row(check.name, result, f"{check.value:.4g}", f"{check.limit:.4g}", check.where)
    out.print(table)
    for check in posterior.failed_checks:
        _print_advice(check)


def _print_advice(check: "Check") -> None:
    place = f" at {check.where}" if check.where else ""
    say(f"{check.name} failed ({check.value:.4g}{place}): {check.advice}")
