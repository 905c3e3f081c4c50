"""`simulate`: the paper's runs with a known truth."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_atlas.cli.arguments import AsJson
from bayes_atlas.cli.console import print_json, say, writing

PANEL = "Run tables"


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
