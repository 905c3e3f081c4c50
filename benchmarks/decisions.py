"""Speed of decisions, against a loop of scipy over draws and as a whole process.

The benchmark prints seconds and their ratios, measured side by side in one run. It times a part of the
loop and scales up. Run from the root of the checkout:

    python benchmarks/decisions.py
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from bayes_atlas import Posterior, load_posterior
from bayes_atlas.decisions.problem import Problem, problem
from bayes_atlas.posterior import thin

BUDGETS = np.geomspace(1e18, 1e24, 200)
DRAWS = 4_000
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "closed form": ("chinchilla-2022", {}),
    "repetition": ("datablations-2023", {"unique": 1e10}),
    "serving": ("chinchilla-2022", {"served": 1e12}),
}
LOOPED = 1_000  # optima that the loop is measured on
REPEATS = 5
PROCESS_REPEATS = 12
BASELINE = ("-c", "import xarray, scipy.optimize")
PROCESSES = {
    "optimum": ("-m", "bayes_atlas", "optimum", "chinchilla-2022", "--compute", "1e22"),
    "optimum, repetition": (
        "-m",
        "bayes_atlas",
        "optimum",
        "datablations-2023",
        "--compute",
        "1e22",
        "--unique",
        "1e9",
    ),
}


def seconds(action: Callable[[], object]) -> float:
    """Least wall time of `REPEATS`, which other work on the machine disturbs least."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def in_turn(commands: Sequence[Sequence[str]]) -> list[float]:
    """Least wall time of each of some Python processes, run one after the other and all over again."""
    least = [np.inf] * len(commands)
    for _ in range(PROCESS_REPEATS):
        for i, arguments in enumerate(commands):
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            least[i] = min(least[i], time.perf_counter() - began)
    return least


def loop(asked: Problem, count: int) -> float:
    """Seconds of scipy's scalar minimiser, one draw and budget after the other, on `count` of them."""
    rng = np.random.default_rng(0)
    law, (language,) = asked.objective.posterior.law, asked.objective.weights
    reference = asked.objective.posterior.info.references[language]
    unique = {"unique": asked.first_repeated / reference["tokens"]} if asked.objective.knows_repetition else {}
    chosen = zip(rng.integers(asked.objective.count, size=count), rng.choice(BUDGETS, count), strict=True)
    began = time.perf_counter()
    for draw, compute in chosen:
        drawn = {name: float(v[draw]) for name, v in asked.objective.parameters[language].items() if v.ndim == 1}

        def loss(log_tokens: float, compute: float = float(compute), drawn: dict[str, float] = drawn) -> float:
            tokens = np.exp(log_tokens)
            params = compute / (6 * tokens + 2 * asked.cost.served)
            return float(law.loss(params / reference["params"], tokens / reference["tokens"], **unique, **drawn))

        minimize_scalar(loss, bounds=(np.log(1e7), np.log(1e15)), method="bounded", options={"xatol": 1e-7})
    return time.perf_counter() - began


def _of_size(posterior: Posterior, draws: int) -> Posterior:
    """The posterior with that many draws, evenly spaced."""
    return replace(posterior, draws=thin(posterior.draws, draws // posterior.draws["posterior"].sizes["chain"]))


def _solve(posterior: Posterior, request: dict[str, Any]) -> object:
    return problem(posterior, **request).best_tokens(BUDGETS)


def main() -> None:
    """Print both tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{'optima of 4,000 draws x 200 budgets':38}{'here':>9}{'loop':>10}{'ratio':>9}")
    for name, (posterior, request) in CASES.items():
        loaded = _of_size(load_posterior(posterior), DRAWS)
        ours = seconds(partial(_solve, loaded, request))
        asked = problem(loaded, **request)
        optima = asked.objective.count * len(BUDGETS)
        theirs = loop(asked, LOOPED) * optima / LOOPED
        print(f"{name:38}{ours:7.2f} s{theirs:8.0f} s{theirs / ours:8.0f}x", flush=True)
    print(f"\n{'whole process':38}{'seconds':>9}{'over baseline':>15}")
    baseline, *taken = in_turn([BASELINE, *PROCESSES.values()])
    limit = 1.5 * baseline + 0.3
    print(f"{'python ' + BASELINE[0] + ' ' + repr(BASELINE[1]):48}{baseline:.2f}")
    for name, time_taken in zip(PROCESSES, taken, strict=True):
        verdict = "met" if time_taken <= limit else "MISSED"
        print(f"{name:38}{time_taken:9.2f}{time_taken / baseline:14.2f}x   limit {limit:.2f} s: {verdict}")


if __name__ == "__main__":
    main()
