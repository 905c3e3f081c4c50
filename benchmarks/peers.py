"""Effective draws per CPU-second, against other engines on one problem, measured side by side.

The problem is 204 simulated runs of 12 languages (`benchmarks.tables`), one row each, and the model `chinchilla` with
84 parameters. Each engine runs in its own process without a cache of compiled programs. Its CPU-seconds are those of
the process and its children from start to end, imports and compilation included. Every engine runs four chains, each
with 1000 warm-up and 1000 kept draws, at the same target acceptance. nutpie chooses its own warm-up.

Engines with ``same`` in the column *posterior* sample our posterior, and the last two columns show whether they got it.
They compare means parameter by parameter, in standard errors of the difference between two Monte Carlo estimates. Among
90 of these the largest is expected around 2.5, and their root mean square around 1. ``own priors`` marks the textbook
model, whose parameterisation does not allow the same priors; compare only its speed. ESS is the smallest bulk ESS of
the compared parameters. Gradients are those of the kept draws.

The ratios depend on the noise of the runs, by default that of `bayes_atlas.data.simulate`. The more sharply the runs
determine the curves, the narrower are the valleys that a diagonal metric has to follow. ``--noise .005`` doubles the
noise.

Run from the root of the checkout, in an environment with the extra ``peers``. Engines that are not installed are
skipped:

    python -m benchmarks.peers
    python -m benchmarks.peers --noise 0.005
    python -m benchmarks.peers --quick --engines pystan
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.engines.problem import PARAMETERS, Floats, Sampled, Settings
from benchmarks.tables import SIGMA, chinchilla_study

ROOT = Path(__file__).parents[1]
LANGUAGES, RUNS = 12, 17
FULL, QUICK = Settings(4, 1000, 1000, seed=0), Settings(4, 150, 100, seed=0)
OURS = "ours"
COMPILERS = ("g++", "c++", "clang++")
RECORDED = ("bayes-atlas", "jax", "numpyro", "nutpie", "pystan")


class EngineError(Exception):
    """An engine that ended without draws."""


@dataclass(frozen=True)
class Engine:
    """What is compared, and what it needs."""

    title: str
    posterior: str = "same"
    package: str = "bayes_atlas"
    compiles: bool = False

    @property
    def obstacle(self) -> str | None:
        """Why it cannot run here; None where it can."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed; install the extra peers"
        if self.compiles and not any(map(shutil.which, COMPILERS)):
            return f"no C++ compiler ({', '.join(COMPILERS)}) is on the path"
        return None


ENGINES = {
    OURS: Engine("bayes_atlas.fit"),
    "textbook": Engine("NumPyro MCMC.run, textbook: log A at N = 1, non-centred, diagonal", "own priors"),
    "same_priors": Engine("NumPyro MCMC.run, our priors at reference sizes, non-centred, diagonal"),
    "nutpie_diag": Engine("nutpie from_pyfunc, our JAX density, diagonal", package="nutpie"),
    "nutpie_low_rank": Engine("nutpie from_pyfunc, our JAX density, low rank", package="nutpie"),
    "pystan": Engine("PyStan, reference sizes, centred, diagonal", package="stan", compiles=True),
}


@dataclass(frozen=True)
class Measured:
    """What an engine drew, and what that cost."""

    sampled: Sampled
    cpu: float  # seconds, user and system, of the process and its children
    wall: float

    @property
    def kept(self) -> int:
        """Draws of all chains."""
        return int(self.sampled["n_steps"].size)

    @property
    def gradients(self) -> int:
        """Evaluations of the gradient for the draws kept."""
        return int(self.sampled["n_steps"].sum())

    @property
    def divergences(self) -> int:
        """Of the draws kept."""
        return int(self.sampled["diverging"].sum())


@dataclass(frozen=True)
class Moments:
    """Of every parameter that an engine has in common with ours, flattened in the order of PARAMETERS."""

    mean: Floats
    sd: Floats
    error: Floats  # Monte Carlo standard error of the mean
    ess: Floats  # bulk

    @classmethod
    def of(cls, sampled: Sampled, names: Sequence[str]) -> "Moments":
        """Moments of the parameters `names`."""
        import arviz as az  # here, because its import must not count among an engine's seconds

        drawn = {name: sampled[name].astype(np.float64) for name in names}
        posterior = az.from_dict({"posterior": drawn})["posterior"].to_dataset()

        def flat(values: xr.Dataset) -> Floats:
            return np.concatenate([np.ravel(values[name]) for name in names])

        over = ("chain", "draw")
        return cls(
            mean=flat(posterior.mean(over)),
            sd=flat(posterior.std(over)),
            error=flat(az.mcse(posterior, method="mean")),
            ess=flat(az.ess(posterior, method="bulk")),
        )


def engine(name: str) -> Callable[[pd.DataFrame, Settings], Sampled]:
    """The function that samples, with nothing imported that other engines need."""
    if name == OURS:
        from benchmarks.engines import ours

        return ours.sample
    if name == "pystan":
        from benchmarks.engines import pystan_peer

        return pystan_peer.sample
    if name == "nutpie_diag" or name == "nutpie_low_rank":
        from benchmarks.engines import nutpie_peer

        return partial(nutpie_peer.sample, "diag" if name == "nutpie_diag" else "low_rank")
    from benchmarks.engines import textbook

    return partial(textbook.sample, textbook.raw_counts if name == "textbook" else textbook.same_priors)


def measure(name: str, options: Sequence[str], folder: Path) -> Measured:
    """Sample with an engine in a new process of this module, given `options`.

    Raises:
        EngineError: the engine failed; the message ends with the last line it printed.
    """
    output, log = folder / f"{name}.npz", folder / f"{name}.log"
    command = [sys.executable, "-m", "benchmarks.peers", "--sample", name, str(output), *options]
    # Nobody starts with programs that an earlier run compiled: JAX's, and what PyStan keeps in the user's cache.
    cold = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    if ENGINES[name].compiles:
        cold["XDG_CACHE_HOME"] = str(folder / name)
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | cold, stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise EngineError(f"{name} ended with exit code {process.returncode}: {last}")
    with np.load(output) as stored:
        sampled: Sampled = dict(stored)
    return Measured(sampled, usage.ru_utime + usage.ru_stime, wall)


def row(name: str, measured: Measured, ours: Measured) -> list[str]:
    """The table's row for an engine, as ratios to `ours`."""
    shared = [parameter for parameter in PARAMETERS if parameter in measured.sampled]
    here, there = (Moments.of(sampled, shared) for sampled in (measured.sampled, ours.sampled))
    ess, least = here.ess.min(), there.ess.min()
    difference = (here.mean - there.mean) / np.hypot(here.error, there.error)
    ratio = here.sd / there.sd
    agreement = ["", ""]
    if name != OURS:
        rms = np.sqrt(np.mean(difference**2))
        agreement = [f"{np.abs(difference).max():.1f} (rms {rms:.1f})", f"{ratio.min():.2f} to {ratio.max():.2f}"]
    return [
        ENGINES[name].title,
        ENGINES[name].posterior,
        f"{measured.cpu:.1f}",
        f"{measured.wall:.1f}",
        f"{ess:.0f} of {measured.kept}",
        f"{ess / measured.cpu:.2f}",
        f"{(least / ours.cpu) / (ess / measured.cpu):.1f}",
        f"{1000 * ess / measured.gradients:.2f}",
        f"{measured.divergences}",
        *agreement,
    ]


HEADER = [
    "engine",
    "posterior",
    "CPU s",
    "wall s",
    "min ESS",
    "ESS per CPU-s",
    "ours over it",
    "ESS per 1000 gradients",
    "divergences",
    "means: largest difference in MC errors",
    "sds: ratio to ours",
]


def machine() -> str:
    """What the figures were measured on."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    versions = [f"{name} {importlib.metadata.version(name)}" for name in RECORDED if name in installed]
    system = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, {platform.system()}"
    return ", ".join([system, f"Python {platform.python_version()}", *versions])


def main() -> None:
    """Measure one engine after another and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="ours is always among them"
    )
    parser.add_argument("--quick", action="store_true", help="too few draws for any conclusion, to see that all runs")
    parser.add_argument("--noise", type=float, default=SIGMA, help="scale of the residuals of log loss (%(default)s)")
    parser.add_argument("--sample", nargs=2, metavar=("ENGINE", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sample:
        name, output = arguments.sample
        table = chinchilla_study(LANGUAGES, RUNS, noise=arguments.noise).runs
        np.savez(output, **engine(name)(table, QUICK if arguments.quick else FULL))  # type: ignore[arg-type]
        return
    options = ["--noise", str(arguments.noise), *["--quick"] * arguments.quick]
    print(f"{machine()}\nnoise {arguments.noise}\n")
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    with tempfile.TemporaryDirectory() as folder:
        ours = measure(OURS, options, Path(folder))
        print("| " + " | ".join(row(OURS, ours, ours)) + " |", flush=True)
        for name in arguments.engines:
            if name == OURS:
                continue
            cells = [ENGINES[name].title, f"skipped: {ENGINES[name].obstacle}"]
            if not ENGINES[name].obstacle:
                try:
                    cells = row(name, measure(name, options, Path(folder)), ours)
                except EngineError as error:
                    cells = [ENGINES[name].title, f"failed: {error}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
