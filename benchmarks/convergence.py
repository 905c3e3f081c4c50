"""Whether fits end with all checks passed at default settings, on real tables and on small simulated ones.

Real tables are those in the folder `BAYES_ATLAS_DATA`, each with the model that suits it. Simulated tables follow the
Chinchilla law: 2 to 40 languages with 2 to 30 rows each, of 1 to 12 model sizes. A line for each fit gives its checks,
CPU and wall seconds, draws and adaptations, and the cause where a check failed. Run from the root of the checkout:

    python -m benchmarks.convergence --simulated 200 --seeds 2
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_atlas import fit
from bayes_atlas.catalogue import read_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.inference.options import FitOptions
from bayes_atlas.laws import chinchilla
from bayes_atlas.observations.kind import kind_of
from bayes_atlas.posterior import Posterior

MODELS = {  # by table; chinchilla for all others
    "datablations.csv": "data_constrained",
    "goldfish.csv": "data_constrained",
    "mix3_410M.csv": "atlas",
    "mix3_410M_with_zero_shares.csv": "atlas",
    "mix3_sizes.csv": "atlas",
    "pretrain_vs_finetune_bytes.csv": "crossover",
    "regmix_small.csv": "atlas",
    "slimpajama_mixtures.csv": "atlas",
    "steplaw_moe_best.csv": "capacity",
    "transfer_bytes_src600M_10ep.csv": "transfer",
}
LANGUAGES = (2, 3, 5, 10, 20, 40)  # few numbers, as each is compiled
ROWS, SIZES = (2, 30), (1, 12)
PARAMS, TOKENS = 1e9, 2e10
COMMON = {"E": (1.7, 0.15), "A": (0.4, 0.3), "B": (0.5, 0.3), "alpha": (0.33, 0.15), "beta": (0.3, 0.15)}
HEADS = ("table", "model", "seed", "passed", "wall", "cpu", "draws", "dropped", "attempts", "inside", "failed")


@dataclass(frozen=True)
class Study:
    """A simulated run table and its true parameters, ``(language,)`` each, A and B at `PARAMS` and `TOKENS`."""

    runs: pd.DataFrame
    truth: dict[str, np.ndarray]


def small_study(seed: int) -> Study:
    """Simulate a small table; residuals on log loss are Student-t with a scale of .1 to 1 %."""
    rng = np.random.default_rng(seed)
    languages = int(rng.choice(LANGUAGES))
    truth = {name: median * np.exp(sd * rng.normal(size=languages)) for name, (median, sd) in COMMON.items()}
    sizes = np.exp(rng.uniform(np.log(5e7), np.log(5e9), rng.integers(SIZES[0], SIZES[1] + 1)))
    most = rng.integers(ROWS[0], ROWS[1] + 1)
    language = np.repeat(np.arange(languages), rng.integers(ROWS[0], most + 1, languages))
    params = rng.choice(sizes, len(language))
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(4e11), len(language)))
    of_row = {name: values[language] for name, values in truth.items()}
    noise = 10 ** rng.uniform(-3, -2) * rng.standard_t(5, len(language))
    loss = chinchilla.loss(params / PARAMS, tokens / TOKENS, **of_row) * np.exp(noise)
    names = [f"l{index:02}" for index in language]
    runs = pd.DataFrame({"language": names, "params": params, "tokens": tokens, "loss": loss})
    runs.insert(0, "run", [f"r{row}" for row in range(len(runs))])
    return Study(runs, truth)


def inside(posterior: Posterior, study: Study) -> float:
    """Return the share of true exponents and irreducible losses inside their 90 % intervals."""
    draws = posterior.draws["posterior"].to_dataset()
    held = []
    for name in ("E", "alpha", "beta"):
        low, high = np.quantile(draws[name].to_numpy(), (0.05, 0.95), axis=(0, 1))
        held.append((low <= study.truth[name]) & (study.truth[name] <= high))
    return float(np.mean(held))


def measured(name: str, model: str, seed: int, study: Study | None, options: FitOptions) -> dict[str, object]:
    """Fit a table, read from the file `name` or simulated, and return a line of results."""
    if study is None:
        table = kind_of(read_model(model)).read(Path(os.environ["BAYES_ATLAS_DATA"]) / name, None)
    else:
        table = runs_from_frame(study.runs, name)
    wall, cpu = time.monotonic(), time.process_time()
    posterior = fit(table, model, **options | FitOptions(seed=seed, law_error=False, with_data=False))
    sampling = posterior.info.sampling
    failed = [f"{check.name} {check.value:.4g} {check.where}" for check in posterior.failed_checks]
    return {
        "table": name,
        "model": model,
        "seed": seed,
        "passed": not failed,
        "wall": round(time.monotonic() - wall, 1),
        "cpu": round(time.process_time() - cpu, 1),
        "draws": sampling.draws,
        "dropped": sampling.dropped,
        "attempts": sampling.attempts,
        "inside": np.nan if study is None else inside(posterior, study),
        "failed": "; ".join([*failed, sampling.ended]) if failed else "",
    }


def cases(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Study | None]]:
    """Name, model and study of each table."""
    if arguments.simulated < arguments.first:
        raise SystemExit("--first is beyond --simulated")
    folder = os.environ.get("BAYES_ATLAS_DATA")
    for path in sorted(Path(folder).glob("*.csv")) if folder and not arguments.no_real else ():
        if not arguments.only or path.name in arguments.only:
            yield path.name, MODELS.get(path.name, "chinchilla"), None
    for number in range(arguments.first, arguments.simulated):
        yield f"simulated-{number}", "chinchilla", small_study(number)


def main() -> None:
    """Print a line for each fit, and the shares that passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", type=int, default=200, help="number of simulated tables")
    parser.add_argument("--first", type=int, default=0, help="number of the first simulated table")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each real table; simulated ones have one")
    parser.add_argument("--only", nargs="*", help="names of real tables")
    parser.add_argument("--no-real", action="store_true")
    parser.add_argument("--draws", type=int, help="fixed number of draws per chain")
    parser.add_argument("--max-minutes", type=float, default=30.0)
    parser.add_argument("--output", type=Path, help="CSV of the lines")
    arguments = parser.parse_args()
    options = FitOptions(draws=arguments.draws, max_minutes=arguments.max_minutes)
    lines = []
    print(*HEADS, sep="\t")
    for name, model, study in cases(arguments):
        for seed in range(arguments.seeds if study is None else 1):
            lines.append(measured(name, model, seed, study, options))
            print(*lines[-1].values(), sep="\t", flush=True)
    found = pd.DataFrame(lines)
    if arguments.output:
        found.to_csv(arguments.output, index=False)
    for what, part in found.groupby(found["inside"].notna().map({True: "simulated", False: "real"})):
        passed = part[part["passed"]]
        held = f", {passed['inside'].mean():.1%} of true parameters inside 90 %" if what == "simulated" else ""
        print(f"{what}: {len(passed)} of {len(part)} passed, {part['cpu'].sum():.0f} CPU-s{held}")


if __name__ == "__main__":
    main()
