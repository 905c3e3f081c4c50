"""Output about the sampling of a posterior."""

import json
from typing import TYPE_CHECKING, Any

from bayes_atlas.cli.console import new_table, out, plural, say

if TYPE_CHECKING:
    from bayes_atlas.posterior import Check, Posterior


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
    if sampling.interrupted:
        say("Interrupted: there are fewer draws than requested")
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
