"""Coverage of the true parameters of simulated studies by 90 % intervals.

The benchmark simulates the paper's runs with each seed. It fits `atlas` to all of them, or to the runs of some
languages, each vocabulary separately. By parameter it prints how many true values lie inside their intervals. Run from
the root of the checkout:

    python benchmarks/recovery.py --seeds 0 1 2
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bayes_atlas import Posterior, fit, read_runs
from bayes_atlas.data.simulate import write_simulation

PROBABILITY = 0.9


def inside(posterior: Posterior, truth: dict[str, Any]) -> dict[str, list[bool]]:
    """By parameter, whether each language's true value (each source's, for tau) lies inside its interval."""
    found: dict[str, list[bool]] = {}
    for language in posterior.info.languages:
        true = truth["languages"][language]
        reference = posterior.info.references[language]
        scalars = ("E", "alpha", "beta", "lam", "tau_other", "phi", "psi")
        expected = {name: [true[name]] for name in scalars if name in true}
        expected["A"] = [true["A"] * reference["params"] ** -true["alpha"]]
        expected["B"] = [true["B"] * reference["tokens"] ** -true["beta"]]
        if "tau" in true:
            expected["tau"] = [true["tau"][source] for source in posterior.info.sources[language]]
        drawn = posterior.parameters(language)
        if not posterior.info.sources[language]:
            expected = {name: values for name, values in expected.items() if not name.startswith("tau")}
        for name, values in expected.items():
            draws = drawn[name].reshape(len(drawn[name]), -1)[:, : len(values)]
            lower, upper = np.quantile(draws, [(1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2], axis=0)
            found.setdefault(name, []).extend(bool(ok) for ok in (lower <= values) & (values <= upper))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--warmup", type=int, default=600)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--languages", nargs="*", default=[], help="all of them where left out")
    arguments = parser.parse_args()
    held: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "runs.parquet"
            truth = write_simulation(path, seed).truth
            runs = read_runs(path)
        posterior = fit(
            runs,
            "atlas",
            languages=arguments.languages,
            by=["vocabulary"],
            warmup=arguments.warmup,
            draws=arguments.draws,
            seed=seed,
        )
        found = inside(posterior, truth)
        for name, results in found.items():
            held[name] += sum(results)
            total[name] += len(results)
        count, size = sum(map(sum, found.values())), sum(map(len, found.values()))
        failed = ", ".join(check.name for check in posterior.failed_checks) or "none"
        seconds = posterior.info.sampling.seconds
        print(
            f"seed {seed}: {count} of {size} inside ({count / size:.1%}), failed checks: {failed}, {seconds:.0f} s",
            flush=True,
        )
    for name in sorted(total):
        print(f"{name:10} {held[name]:4} of {total[name]:4} ({held[name] / total[name]:.1%})")
    print(f"{'all':10} {held.total():4} of {total.total():4} ({held.total() / total.total():.1%})")


if __name__ == "__main__":
    main()
