"""Time of a fit by number of rows and of languages, and time of a refit.

All tables are simulated from the laws (`benchmarks.tables`). Each is fitted twice in this process, the second time with
another seed. The first time includes compilation for the table's shape; the second fit should compile nothing. Neither
time includes reading and checking the table. Every line gives times as ratios to the first line of its block.

From the root of the checkout:

    python -m benchmarks.sampler
    python -m benchmarks.sampler --parts refit languages --languages 8 400
    python -m benchmarks.sampler --parts languages --languages 8 400 --draws 2000 --once
    python -m benchmarks.sampler --quick
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import jax.monitoring
import xarray as xr

from bayes_atlas import Posterior, fit, runs_from_frame
from benchmarks.tables import Study, atlas_study, chinchilla_study

COMPILATION = "/jax/core/compile/backend_compile_duration"
PEER_LANGUAGES, PEER_RUNS = 12, 17  # the problem of `benchmarks.peers`
ROW_LANGUAGES, CHECKPOINTS = 10, 10
RUNS = 20  # of one row, for each of many languages
ESS = "ess_bulk_at_least_400"

COLUMNS = (
    "table",
    "rows",
    "first s",
    "again s",
    "again CPU s",
    "compiled",
    "gradients/draw",
    "min ESS",
    "failed checks",
)
RATIOS = ("first, ratio", "again, ratio")


class Compilations:
    """Counts the programs that JAX compiles, or takes compiled from its cache on disk, from now on."""

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self.count += event == COMPILATION


@dataclass(frozen=True)
class Timed:
    """A fit and what it took."""

    posterior: Posterior
    wall: float  # seconds
    cpu: float
    compiled: int


@dataclass(frozen=True)
class Bench:
    """How to fit: the model, the length of its chains, and who counts compilations."""

    model: str
    warmup: int
    draws: int
    compilations: Compilations
    once: bool = False

    def fit(self, runs: xr.Dataset, seed: int) -> Timed:
        """Fit once."""
        wall, cpu, compiled = time.perf_counter(), time.process_time(), self.compilations.count
        posterior = fit(runs, self.model, warmup=self.warmup, draws=self.draws, seed=seed)
        return Timed(
            posterior,
            time.perf_counter() - wall,
            time.process_time() - cpu,
            self.compilations.count - compiled,
        )

    def lines(self, studies: Iterable[tuple[str, Study]]) -> Iterable[list[str]]:
        """A line for each table, as soon as it is fitted."""
        base: tuple[float, float] | None = None
        for title, study in studies:
            runs = runs_from_frame(study.runs)
            first = self.fit(runs, seed=0)
            again = first if self.once else self.fit(runs, seed=1)
            base = base or (first.wall, again.wall)
            info, stats = again.posterior.info, again.posterior.draws["sample_stats"]
            yield [
                title,
                f"{info.runs.rows}",
                f"{first.wall:.1f}",
                f"{again.wall:.1f}",
                f"{again.cpu:.1f}",
                f"{first.compiled}, then {again.compiled}",
                f"{float(stats['n_steps'].mean()):.1f}",
                f"{next(check.value for check in info.checks if check.name == ESS):.0f}",
                ", ".join(check.name for check in again.posterior.failed_checks) or "none",
                f"{first.wall / base[0]:.2f}",
                f"{again.wall / base[1]:.2f}",
            ]


def refits() -> Iterable[tuple[str, Study]]:
    """Two tables of one shape: fitting the second should compile nothing either."""
    for seed in (0, 1):
        yield f"{PEER_LANGUAGES} languages, data {seed}", chinchilla_study(PEER_LANGUAGES, PEER_RUNS, seed)


def by_rows(rows: Iterable[int]) -> Iterable[tuple[str, Study]]:
    """Tables of about so many rows: more and more runs with ten checkpoints, of ten languages."""
    for wanted in rows:
        runs = max(1, round(wanted / (ROW_LANGUAGES * CHECKPOINTS)))
        yield f"{runs} runs a language", atlas_study(ROW_LANGUAGES, runs, CHECKPOINTS)


def by_languages(languages: Iterable[int]) -> Iterable[tuple[str, Study]]:
    """Tables of so many languages, with `RUNS` rows each."""
    for count in languages:
        yield f"{count} languages", atlas_study(count, RUNS)


def main() -> None:
    """Print one block of lines for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, tuple[str, Callable[[argparse.Namespace], Iterable[tuple[str, Study]]]]] = {
        "refit": ("chinchilla", lambda arguments: refits()),
        "rows": ("atlas", lambda arguments: by_rows(arguments.rows)),
        "languages": ("atlas", lambda arguments: by_languages(arguments.languages)),
    }
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--rows", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--languages", nargs="+", type=int, default=[8, 40, 400])
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--once", action="store_true", help="fit each table once: both times are those of the first")
    parser.add_argument("--quick", action="store_true", help="small tables and few draws, to see that all runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows, arguments.languages, arguments.warmup, arguments.draws = [200, 400], [2, 4], 150, 50
    compilations = Compilations()
    for part in arguments.parts:
        model, studies = parts[part]
        print(f"\n{part}: {model}, 4 chains x ({arguments.warmup} + {arguments.draws})\n")
        print("| " + " | ".join(COLUMNS + RATIOS) + " |\n|" + "---|" * len(COLUMNS + RATIOS))
        bench = Bench(model, arguments.warmup, arguments.draws, compilations, arguments.once)
        for line in bench.lines(studies(arguments)):
            print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
