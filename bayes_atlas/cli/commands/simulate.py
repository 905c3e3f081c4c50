"""`simulate`: runs of the paper's design, with known truth."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_atlas.cli.arguments import LARGEST_SEED, AsJson
from bayes_atlas.cli.console import print_json, say, writing

PANEL = "Run tables"


def simulate(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Run table to write, .csv or .parquet.")],
    seed: Annotated[int, typer.Option(max=LARGEST_SEED, help="Seed; the same seed gives the same runs.")] = 0,
    law: Annotated[
        str, typer.Option(help="Law of the runs: atlas, or capacity for the runs of that law's design.")
    ] = "atlas",
    as_json: AsJson = False,
) -> None:
    """Simulate the 774 runs of the ATLAS paper's design, and write their true parameters to OUT.truth.json.

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
        say(f"Wrote {found['runs']} runs, {found['rows']:,} rows, to {target}; the true parameters to {truth}")
