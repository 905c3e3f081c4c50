"""Fits per minute on one platform: many small fits at once, and one of many rows. Run it on each machine to compare.

Small fits are the 12-language hierarchical Chinchilla problem, each with its own data. Large fits are `atlas` on ten
languages. The driver samples both directly (`sample_many`), so the machine needs neither ArviZ nor the rest of a fit.
The benchmark times the second of two runs, which has other seeds and compiles nothing. It also prints the largest split
R-hat and the least effective sample size of alpha, as a sign that chains agree. From the root of the checkout:

    python -m benchmarks.accelerator --platform gpu --fits 1 64 1024 --rows 100000 1000000
    python -m benchmarks.accelerator --platform cpu --fits 1 64 --rows 100000
    python -m benchmarks.accelerator --platform cpu --fits 1024 --rows 1000000 --once
    python -m benchmarks.accelerator --fits 200 --chains 2 --warmup 300 --draws 300 --rows
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import numpy as np
from numpyro.diagnostics import effective_sample_size

from bayes_atlas.catalogue import read_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.inference.calls import keyworded
from bayes_atlas.observations.curves import CurveData, Shape, arrange
from bayes_atlas.sampler.draws import Draws
from bayes_atlas.sampler.driver import sample_many
from bayes_atlas.sampler.platforms import precision, use_platform
from bayes_atlas.sampler.settings import Progress, Settings
from benchmarks.tables import atlas_study, chinchilla_study

LANGUAGES, RUNS = 12, 17
ROW_LANGUAGES, CHECKPOINTS = 10, 10


def arranged(model: str, frames: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
    """The model as the sampler calls it, and the padded data of every table."""
    file = read_model(model)
    data: list[CurveData] = [arrange(runs_from_frame(frame), file.covariates, sources=3) for frame in frames]
    shape = reduce(Shape.join, (each.curves.shape for each in data)).rounded()
    return keyworded(file), [each.padded(shape) for each in data]


def split_r_hat(draws: np.ndarray) -> float:
    """The largest split R-hat of draws ``(chain, draw, ..)`` (Gelman et al. 2013, §11.4)."""
    half = draws.shape[1] // 2
    halves = np.concatenate([draws[:, :half], draws[:, half : 2 * half]]).astype(float)
    within, between = halves.var(axis=1, ddof=1).mean(axis=0), halves.mean(axis=1).var(axis=0, ddof=1)
    return float(np.sqrt(((half - 1) / half * within + between) / within).max())


def timed(call: Callable[..., Any], data: list[Any], settings: Settings) -> tuple[float, list[Draws]]:
    """Seconds of a run, and its draws; how far it is goes to stderr."""
    began = time.perf_counter()

    def tell(progress: Progress) -> None:
        seconds = time.perf_counter() - began
        said = f"{seconds:.1f} s: {progress.done} of {progress.total}, {progress.gradients:.0f} gradients a draw"
        print(said, file=sys.stderr, flush=True)

    draws = sample_many(call, data, settings, tell)
    return time.perf_counter() - began, draws


def report(title: str, call: Callable[..., Any], data: list[Any], settings: Settings, *, once: bool) -> None:
    """Sample twice, or `once`, and print a line."""
    first, sampled = timed(call, data, settings)
    again = first
    if not once:
        again, sampled = timed(call, data, replace(settings, seed=settings.seed + 1))
    steps = np.mean([each.stats["n_steps"].mean() for each in sampled])
    r_hat = max(split_r_hat(each.sites["alpha"]) for each in sampled)
    ess = min(effective_sample_size(each.sites["alpha"].astype(float)).min() for each in sampled)
    diverging = sum(int(each.stats["diverging"].sum()) for each in sampled)
    pace = f"{first:.1f} | {again:.2f} | {60 * len(data) / again:.1f}"
    shape = f"{settings.chains} x ({settings.warmup} + {settings.draws})"
    print(f"| {title} x {shape} | {pace} | {steps:.1f} | {r_hat:.3f} | {ess:.0f} | {diverging} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", default="cpu")
    parser.add_argument("--fits", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--once", action="store_true", help="sample each once: both times are those of the first")
    parser.add_argument("--row-warmup", type=int, default=150)
    parser.add_argument("--row-draws", type=int, default=100)
    arguments = parser.parse_args()
    use_platform(arguments.platform)
    print(f"{jax.devices()[0].device_kind}, {len(jax.devices())} devices, jax {jax.__version__}\n")
    columns = (
        "",
        "first s",
        "again s",
        "fits a minute",
        "gradients a draw",
        "R-hat, alpha",
        "ESS, alpha",
        "divergences",
    )
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    with precision(arguments.platform):
        for fits in arguments.fits:
            frames = [chinchilla_study(LANGUAGES, RUNS, seed).runs for seed in range(fits)]
            call, data = arranged("chinchilla", frames)
            settings = Settings(chains=arguments.chains, warmup=arguments.warmup, draws=arguments.draws)
            report(f"{fits} fits", call, data, settings, once=arguments.once)
        for rows in arguments.rows:
            frame = atlas_study(ROW_LANGUAGES, rows // (ROW_LANGUAGES * CHECKPOINTS), CHECKPOINTS).runs
            call, data = arranged("atlas", [frame])
            settings = Settings(chains=arguments.chains, warmup=arguments.row_warmup, draws=arguments.row_draws)
            report(f"{rows:,} rows", call, data, settings, once=arguments.once)


if __name__ == "__main__":
    main()
