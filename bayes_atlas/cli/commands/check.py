"""`check`: check and describe a run table."""

from bayes_atlas.cli.arguments import AsJson, RunsFile
from bayes_atlas.cli.console import new_table, out, plural, print_json, print_warnings, say, value_range

PANEL = "Run tables"


def check(runs: RunsFile, as_json: AsJson = False) -> None:
    """Check a run table, and show its ranges and the parameters that it identifies.

    A table with faults is refused, with a list of all its faults. Rows that may not say what is meant are warnings.

    Example: `bayes-atlas check runs.csv`
    """
    from bayes_atlas.data.describe import describe
    from bayes_atlas.data.runs import SCRATCH, read_runs

    description = describe(read_runs(runs))
    if as_json:
        print_json(description.to_dict())
        return
    total = description.total
    languages = plural(len(description.by_language), "language")
    say(f"{description.name}: {plural(total.rows, 'row')} of {plural(total.runs, 'run')}, {languages}")
    for started, rows in description.init.items():
        if started != SCRATCH:
            say(f"Started from the checkpoint {started}: {plural(rows, 'row')}")
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
        say(f"({plural(len(shown_languages) - 12, 'more language')}: --json lists all)")
    findings = new_table("parameter", "identified", "because")
    for finding in description.identified:
        findings.add_row(finding.parameter, finding.status, finding.reason)
    out.print(findings)
    print_warnings(description.warnings)
