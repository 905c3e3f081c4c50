"""How well the laws predict runs that were held out: a line for each law, split and data set, beside point fits.

Data sets are those of the folder `BAYES_ATLAS_DATA`, as far as they are there, and the paper's design simulated. All
models of a line's data set and split are scored on the same rows. Run from the root of the checkout:

    python benchmarks/holdout.py
    python benchmarks/holdout.py --data chinchilla marin_isoflop --splits params tokens compute
    python benchmarks/holdout.py --reduced
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_atlas import InputError, read_runs, runs_from_frame
from bayes_atlas.simulate import simulate
from bayes_atlas.validation.baselines import BASELINES
from bayes_atlas.validation.held_out import Validation, validate

SIMULATED = "simulated"
LANGUAGES = ("en", "fr", "ru", "hi", "sw")  # of the simulated runs, whose losses are fitted; the rest are sources
COLUMNS = ("data", "split", "model", "rows", "RMSE", "R2", "CRPS", "ELPD/row", "50%", "80%", "90%", "95%", "90% width")


class Case(NamedTuple):
    """What is compared on a data set."""

    models: tuple[str, ...]
    splits: tuple[str, ...]
    by: tuple[str, ...] = ()


CASES = {
    SIMULATED: Case(("chinchilla", "atlas"), ("params", "tokens", "compute", "mixture", "random"), ("vocabulary",)),
    "chinchilla": Case(("chinchilla",), ("params", "tokens", "compute", "random")),
    "marin_isoflop": Case(("chinchilla",), ("params", "tokens", "compute", "random", "language")),
    "datablations": Case(("chinchilla", "data_constrained", "atlas"), ("params", "tokens", "compute", "random")),
    "goldfish": Case(("chinchilla",), ("params", "tokens", "random")),
    "pretrain_vs_finetune_bytes": Case(("chinchilla",), ("tokens", "random", "language")),
    "slimpajama_mixtures": Case(("chinchilla", "atlas"), ("params", "tokens", "compute", "mixture", "random")),
}
REDUCED: dict[str, Any] = {"chains": 2, "warmup": 200, "draws": 200}


def load(name: str) -> xr.Dataset | None:
    """The runs of a data set, or None where the folder does not have them."""
    if name == SIMULATED:
        runs = runs_from_frame(simulate(0).runs, SIMULATED)
        return runs.isel(row=np.isin(runs["own"].to_numpy(), LANGUAGES))
    path = Path(os.environ.get("BAYES_ATLAS_DATA", "")) / f"{name}.csv"
    return read_runs(path) if path.is_file() else None


def lines(name: str, split: str, found: Validation) -> Iterator[list[str]]:
    """A line of the table for each model."""
    for model in found.scores:
        scores = found.summary(model)
        r2 = "-" if scores["r2"] is None else f"{scores['r2']:.3f}"
        accuracy = [f"{scores['rmse']:.4g}", r2, f"{scores['crps']:.4g}", f"{scores['elpd'] / scores['n_test']:.3f}"]
        inside = [f"{share:.0%}" for share in scores["coverage"].values()]
        yield [name, split, model, str(scores["n_test"]), *accuracy, *inside, f"{scores['width']['0.9']:.3g}"]


def show(name: str, split: str, runs: xr.Dataset, case: Case, settings: dict[str, Any]) -> None:
    """Print the lines of one data set and split, and what a reader should know of them."""
    began = time.monotonic()
    try:
        found = validate(runs, [*case.models, *BASELINES], holdout=split, by=case.by, **settings)
    except InputError as error:
        print(f"# {name}, {split}: {error}", flush=True)
        return
    for line in lines(name, split, found):
        print("\t".join(line), flush=True)
    notes = [*found.notes, *(f"{rows} rows {reason}" for reason, rows in found.left_out.items())]
    notes += [f"{model} failed {', '.join(failed)}" for model, failed in found.failed_checks.items() if failed]
    weights = ", ".join(f"{model} {weight:.2f}" for model, weight in found.weights().items())
    print(f"# {'; '.join([*notes, f'stacking weights: {weights}'])}; {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    """Print the table, tab-separated, with remarks after a #."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--splits", nargs="+")
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--platform", default="cpu")
    parser.add_argument("--reduced", action="store_true", help="short chains, one law and split of a small table")
    arguments = parser.parse_args()
    settings = {name: getattr(arguments, name) for name in ("chains", "warmup", "draws", "seed", "platform")}
    cases = {name: CASES[name] for name in arguments.data}
    if arguments.reduced:
        settings |= REDUCED
        cases = {SIMULATED: Case(("chinchilla",), ("params",), ("vocabulary",))}
    print("\t".join(COLUMNS))
    for name, case in cases.items():
        runs = load(name)
        if runs is None:
            print(f"# {name} is not in the folder that BAYES_ATLAS_DATA names")
            continue
        chosen = case._replace(models=tuple(arguments.models or case.models))
        for split in arguments.splits or case.splits:
            show(name, split, runs, chosen, settings)


if __name__ == "__main__":
    main()
