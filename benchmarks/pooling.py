"""Gain of a language from partial pooling: larger data sizes predicted from its two smallest.

The benchmark chooses random languages of a table among those with at least four data sizes. It fits only their runs of
the two smallest sizes, once together with all runs of all other languages, and once alone. By language it prints the
mean CRPS of the held-out losses and the coverage of their 90 % intervals. Run from the root of the checkout:

    python benchmarks/pooling.py --runs $BAYES_ATLAS_DATA/goldfish.csv
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas import fit, fit_many, read_runs
from bayes_atlas.validation.predict import predict
from bayes_atlas.validation.proper_scores import RowScores

KEPT = 2  # sizes of data of a language that are fitted


def smallest(runs: xr.Dataset, language: str) -> NDArray[np.bool_]:
    """The rows of `language` with its smallest data sizes, ``(row,)``."""
    own = runs["language"].to_numpy() == language
    tokens = runs["tokens"].to_numpy()
    return own & (tokens <= np.sort(np.unique(tokens[own]))[KEPT - 1])


def choose(runs: xr.Dataset, count: int, seed: int) -> list[str]:
    """Random languages with twice as many sizes of data as are kept, or more."""
    language, tokens = runs["language"].to_numpy().astype(str), runs["tokens"].to_numpy()
    enough = [name for name in np.unique(language) if len(np.unique(tokens[language == name])) >= 2 * KEPT]
    return np.random.default_rng(seed).choice(enough, count, replace=False).tolist()


def main() -> None:
    """Print a line for each language, and their means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--model", default="chinchilla")
    parser.add_argument("--languages", type=int, default=12)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sampler = {name: getattr(arguments, name) for name in ("chains", "warmup", "draws", "seed")}
    runs = read_runs(arguments.runs)
    chosen = choose(runs, arguments.languages, arguments.seed)
    few = {name: runs.isel(row=smallest(runs, name)) for name in chosen}
    language = runs["language"].to_numpy().astype(str)
    held_out = np.isin(language, chosen) & ~np.any([smallest(runs, name) for name in chosen], axis=0)
    together = fit(runs.isel(row=~held_out), arguments.model, with_data=False, **sampler)
    alone = fit_many(list(few.values()), arguments.model, **sampler)
    failed = {"together": together.failed_checks} | {
        name: posterior.failed_checks for name, posterior in zip(chosen, alone, strict=True)
    }
    print(f"{'language':16}{'rows':>6}{'CRPS together':>15}{'alone':>9}{'inside together':>17}{'alone':>8}")
    scored = []
    for name, posterior in zip(chosen, alone, strict=True):
        rows = runs.isel(row=held_out & (language == name))
        both = [
            RowScores.of(predict(together, rows, runs.isel(row=~held_out)), rows),
            RowScores.of(predict(posterior, rows, few[name]), rows),
        ]
        summaries = [scores.summary() for scores in both]
        pooled, single = ([each["crps"], each["coverage"]["0.9"]] for each in summaries)
        scored.append([pooled[0], single[0], pooled[1], single[1]])
        print(f"{name:16}{len(rows['loss']):6}{pooled[0]:15.3f}{single[0]:9.3f}{pooled[1]:17.2f}{single[1]:8.2f}")
    mean = np.mean(scored, axis=0)
    print(f"{'mean':22}{mean[0]:15.3f}{mean[1]:9.3f}{mean[2]:17.2f}{mean[3]:8.2f}")
    print(f"together is better for {sum(one[0] < one[1] for one in scored)} of {len(scored)} languages")
    for name, checks in failed.items():
        if checks:
            print(f"# {name} failed {', '.join(check.name for check in checks)}")


if __name__ == "__main__":
    main()
