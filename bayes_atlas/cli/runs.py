"""Commands about run tables: `simulate` and `check`."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_atlas.cli.arguments import AsJson, RunsFile
from bayes_atlas.cli.console import new_table, out, print_json, say, value_range, writing


def simulate(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Run table to write, .csv or .parquet.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same runs.")] = 0,
    law: Annotated[
        str, typer.Option(help="Law that the runs follow: atlas, or capacity for the runs it is about.")
    ] = "atlas",
    as_json: AsJson = False,
) -> None:
    """Simulate the ATLAS paper's runs, all 774 of them, with a known truth, written beside them as OUT.truth.json.

    Examples:

    - `bayes-atlas simulate runs.csv --seed 0`

    - `bayes-atlas simulate runs.csv --law capacity`
    """
    from bayes_atlas.data.simulate import write_simulation

    with writing(target):
        simulation = write_simulation(target, seed, law)
    truth = target.with_suffix(".truth.json")
    found = {"runs": int(simulation.runs["run"].nunique()), "rows": len(simulation.runs), "truth": str(truth)}
    if as_json:
        print_json(found)
    else:
        say(f"Wrote {found['runs']} runs, {found['rows']:,} rows, to {target}; what is true of them to {truth}")


def check(runs: RunsFile, as_json: AsJson = False) -> None:
    """Describe a run table and what can be learned from it, or refuse it with every fault at once.

    Example: `bayes-atlas check runs.csv`
    """
    from bayes_atlas.data.describe import describe
    from bayes_atlas.data.runs import SCRATCH, read_runs

    description = describe(read_runs(runs))
    if as_json:
        print_json(description.to_dict())
        return
    total = description.total
    say(f"{description.name}: {total.rows:,} rows of {total.runs:,} runs, {len(description.by_language)} languages")
    for started, rows in description.init.items():
        if started != SCRATCH:
            say(f"{rows:,} rows are of runs that started from the checkpoint {started}")
    for label, counts in description.labels.items():
        if len(counts) > 1:
            shown = ", ".join(f"{name} {rows:,}" for name, rows in list(counts.items())[:6])
            more = f", and {len(counts) - 6} more" if len(counts) > 6 else ""
            say(f"{label} (rows): {shown}{more}; fit with --by {label} to give each its own parameters")
    table = new_table("language", "rows", "runs", "params N", "tokens D", "unique U", "epochs", "K")
    shown_languages = list(description.by_language.items())
    for name, extent in [*shown_languages[:12], ("all", total)]:
        ranges = (extent.params, extent.tokens, extent.unique, extent.epochs, extent.languages)
        table.add_row(name, f"{extent.rows:,}", f"{extent.runs:,}", *map(value_range, ranges))
    out.print(table)
    if len(shown_languages) > 12:
        say(f"({len(shown_languages) - 12} more languages: --json lists all)")
    findings = new_table("parameter", "identified", "because")
    for finding in description.identified:
        findings.add_row(finding.parameter, finding.status, finding.reason)
    out.print(findings)
