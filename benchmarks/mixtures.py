"""Gain of the chosen mixture over the best trained mixture, by a posterior of the same runs.

Every trained mixture gets its optimal size and data. The one with the lowest expected loss is one of the baselines. All
sources count evenly. RUNS is the run table to which the posterior was fitted. Run from the root of the checkout:

    python benchmarks/mixtures.py RUNS slimpajama-mixtures --compute 3e20
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

from bayes_atlas import Posterior, bayes_action, load_posterior, optimum, read_runs
from bayes_atlas.decisions.mixture import mixture


def trained_mixtures(runs: xr.Dataset) -> list[dict[str, float]]:
    """The distinct mixtures of a run table."""
    tokens = runs["source_tokens"].to_numpy()
    shares = np.unique((tokens / tokens.sum(axis=1, keepdims=True)).round(4), axis=0)
    names = runs["source"].to_numpy().tolist()
    return [{name: float(share) for name, share in zip(names, row, strict=True) if share > 0} for row in shares]


def expected_loss(posterior: Posterior, shares: dict[str, float], compute: float) -> float:
    """Of the best plan with a mixture."""
    weights = dict.fromkeys(posterior.info.languages, 1.0)
    return float(bayes_action(optimum(posterior, compute=compute, weights=weights, shares=shares)).loss.mean())


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("posterior")
    parser.add_argument("--compute", type=float, nargs="+", default=[3e20])
    arguments = parser.parse_args()
    posterior, trained = load_posterior(arguments.posterior), trained_mixtures(read_runs(arguments.runs))
    for compute in arguments.compute:
        best = min(trained, key=lambda shares: expected_loss(posterior, shares, compute))
        found = mixture(posterior, compute=compute, compare={"best trained": best})
        print(f"{compute:.3g} FLOPs: {', '.join(f'{name} {share:.1%}' for name, share in found.plan.shares.items())}")
        for name in found.baselines:
            compared = found.compared(name)
            gain = compared["gain"]
            interval = f"{gain['median']:.5f} ({gain['lower']:.5f} to {gain['upper']:.5f})"
            print(
                f"  loss saved over {name:14} {interval}   worse with probability {compared['probability_worse']:.3f}"
            )


if __name__ == "__main__":
    main()
