"""Held-out scores of the laws and of point fits: one line for each law, split and data set.

Data sets are those present in the folder `BAYES_ATLAS_DATA`, and simulated runs of the paper's design. All models of a
data set and split are scored on the same rows. Run from the root of the checkout:

    python benchmarks/holdout.py
    python benchmarks/holdout.py --data chinchilla marin_isoflop --splits params tokens compute
    python benchmarks/holdout.py --data slimpajama_mixtures --splits params --models total own own+others atlas \\
        --each language stage --law-error none --chains 2 --warmup 400 --draws 400
    python benchmarks/holdout.py --reduced
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_atlas import InputError, read_runs, runs_from_frame
from bayes_atlas.data.simulate.atlas_runs import simulate
from bayes_atlas.validation.baselines import BASELINES
from bayes_atlas.validation.held_out import Validation, validate
from bayes_atlas.validation.proper_scores import RowScores

SIMULATED = "simulated"
LANGUAGES = ("en", "fr", "ru", "hi", "sw")  # of the simulated runs, whose losses are fitted; the rest are sources
STAGES = (0.15, 0.5, 0.99, 1.0)  # parts of a run's tokens
COLUMNS = ("data", "split", "model", "rows", "RMSE", "R2", "CRPS", "ELPD/row", "50%", "80%", "90%", "95%", "90% width")


class Case(NamedTuple):
    """What is compared on a data set."""

    models: tuple[str, ...]
    splits: tuple[str, ...]
    by: tuple[str, ...] = ()
    sources: int = 3


# Those of the paper's Table 1, and the total-token Chinchilla, as a model and settings of `validate`.
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "total": ("chinchilla", {"all_tokens": True}),
    "own": ("atlas", {"sources": 0, "others": False}),
    "own+others": ("atlas", {"sources": 0}),
}

CASES = {
    SIMULATED: Case((*ABLATIONS, "atlas"), ("params", "tokens", "compute", "mixture", "random"), ("vocabulary",)),
    "chinchilla": Case(("chinchilla",), ("params", "tokens", "compute", "random")),
    "marin_isoflop": Case(("chinchilla",), ("params", "tokens", "compute", "random", "language")),
    "gemstones": Case(("chinchilla",), ("params", "tokens", "compute", "random")),
    "oellm_dense": Case(("chinchilla",), ("params", "tokens", "compute", "random")),
    "misfitting_best_lr": Case(("chinchilla",), ("params", "tokens", "compute", "random")),
    "datablations": Case(("chinchilla", "data_constrained", "atlas"), ("params", "tokens", "compute", "random")),
    "goldfish": Case(("chinchilla",), ("params", "tokens", "random")),
    "pretrain_vs_finetune_bytes": Case(("chinchilla",), ("tokens", "random", "language")),
    "mix3_sizes": Case(("atlas",), ("params", "mixture")),
    "slimpajama_mixtures": Case((*ABLATIONS, "atlas"), ("params", "tokens", "compute", "mixture", "random"), sources=6),
}


class Floor(NamedTuple):
    """The least that CI accepts of the held-out losses of a case."""

    r2: float
    inside: float  # share that 90 % intervals hold


REDUCED = {
    ("chinchilla", "compute", "chinchilla"): Floor(0.78, 0.75),  # 82 % of 49 rows of a few sweeps, which err together
    ("chinchilla", "random", "chinchilla"): Floor(0.78, 0.83),
    (SIMULATED, "mixture", "atlas"): Floor(0.995, 0.75),
}
SHORT: dict[str, Any] = {"chains": 2, "warmup": 300, "draws": 300}
FEW = ("en", "sw")  # of the simulated languages


def load(name: str) -> xr.Dataset | None:
    """The runs of a data set, or None where the folder does not have them."""
    if name == SIMULATED:
        runs = runs_from_frame(simulate(0).runs, SIMULATED)
        return runs.isel(row=np.isin(runs["own"].to_numpy(), LANGUAGES))
    path = Path(os.environ.get("BAYES_ATLAS_DATA", "")) / f"{name}.csv"
    return read_runs(path) if path.is_file() else None


def line(name: str, split: str, model: str, scores: dict[str, Any]) -> str:
    """A line of the table."""
    r2 = "-" if scores["r2"] is None else f"{scores['r2']:.3f}"
    accuracy = [f"{scores['rmse']:.4g}", r2, f"{scores['crps']:.4g}", f"{scores['elpd'] / scores['n_test']:.3f}"]
    inside = [f"{share:.0%}" for share in scores["coverage"].values()]
    cells = [name, split, model, str(scores["n_test"]), *accuracy, *inside, f"{scores['width']['0.9']:.3g}"]
    return "\t".join(cells)


def remarks(found: Validation, seconds: float) -> str:
    """What a reader should know of a line."""
    said = [*found.notes, *(f"{rows} rows {reason}" for reason, rows in found.left_out.items())]
    said += [f"failed {', '.join(failed)}" for failed in found.failed_checks.values() if failed]
    return "# " + "; ".join([*said, f"{seconds:.0f} s"])


def shortfalls(name: str, split: str, model: str) -> list[str] | None:
    """Which floors the scores of a case of `REDUCED` are below, in short chains; None without its data."""
    runs = load(name)
    if runs is None:
        return None
    if name == SIMULATED:
        runs = runs.isel(row=np.isin(runs["own"].to_numpy(), FEW))
    scores = validate(runs, [model], holdout=split, by=CASES[name].by, **SHORT).summary(model)
    print(line(name, split, model, scores), flush=True)
    floor, inside = REDUCED[name, split, model], scores["coverage"]["0.9"]
    found = [f"R2 is {scores['r2']:.3f}, and {floor.r2} asked"] if scores["r2"] < floor.r2 else []
    return found + (
        [f"90 % intervals hold {inside:.0%}, and {floor.inside:.0%} asked"] if inside < floor.inside else []
    )


def parts(scores: RowScores, wanted: Sequence[str]) -> Iterator[tuple[str, RowScores]]:
    """Rows of each language and of each part of training, and of both, as far as they are `wanted`."""
    groups = {"": scores}
    if "language" in wanted:
        names = np.unique(scores.language).tolist()
        groups |= {f", {language}": scores.where(scores.language == language) for language in names}
    for name, group in groups.items():
        if name:
            yield name, group
        for least, most in pairwise((0.0, *STAGES)) if "stage" in wanted else ():
            if (chosen := (group.trained > least) & (group.trained <= most)).any():
                yield f"{name}, trained {least:.0%} to {most:.0%}", group.where(chosen)


def show(name: str, split: str, runs: xr.Dataset, case: Case, wanted: Sequence[str], settings: dict[str, Any]) -> None:
    """Print the lines of one data set and split."""
    for asked in case.models:
        model, ablation = ABLATIONS.get(asked, (asked, {}))
        given: dict[str, Any] = {"by": case.by, "sources": case.sources} | ablation | settings
        began = time.monotonic()
        try:
            found = validate(runs, [model], holdout=split, **given)
        except InputError as error:
            print(f"# {name}, {split}, {asked}: {error}", flush=True)
            continue
        scores = found.summary(model)
        print(line(name, split, asked, scores))
        for part, each in parts(found.scores[model], wanted):
            print(line(name, split, f"{asked}{part}", each.summary()))
        print(remarks(found, time.monotonic() - began), flush=True)


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
    parser.add_argument(
        "--law-error", default="learned", help="learned, or none for intervals that hold if the law does"
    )
    parser.add_argument("--burn-in", action="store_true", help="give early checkpoints an extra loss")
    parser.add_argument("--below", type=float, help="fit to models below this size, and score those from it on")
    parser.add_argument("--reduced", action="store_true", help="only what CI runs; exits with 1 below its floors")
    parser.add_argument(
        "--each", nargs="+", choices=("language", "stage"), default=(), help="scores of each language or stage too"
    )
    arguments = parser.parse_args()
    settings = {name: getattr(arguments, name) for name in ("chains", "warmup", "draws", "seed", "platform")}
    settings |= {"law_error": arguments.law_error, "burn_in": arguments.burn_in}
    print("\t".join(COLUMNS))
    if arguments.reduced:
        found = {" ".join(case): shortfalls(*case) for case in REDUCED}
        for absent in (reduced for reduced, below in found.items() if below is None):
            print(f"# {absent}: not in the folder that BAYES_ATLAS_DATA names")
        sys.exit("\n".join(f"{reduced}: {each}" for reduced, below in found.items() for each in below or []) or 0)
    for name in arguments.data:
        case, runs = CASES[name], load(name)
        if runs is None:
            print(f"# {name} is not in the folder that BAYES_ATLAS_DATA names")
            continue
        chosen = case._replace(models=tuple(arguments.models or (*case.models, *BASELINES)))
        if arguments.below:
            small = runs["params"].to_numpy() < arguments.below
            runs, settings["test"] = runs.isel(row=small), runs.isel(row=~small)
        for split in arguments.splits or case.splits:
            show(name, split, runs, chosen, arguments.each, settings)


if __name__ == "__main__":
    main()
