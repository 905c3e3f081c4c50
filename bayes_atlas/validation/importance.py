"""Pareto-smoothed importance sampling (Vehtari et al. 2024, arXiv 1507.02646), by ArviZ."""

import arviz as az  # noqa: F401  registers the accessor `azstats`
import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats


def smoothed(log_ratios: xr.DataArray, r_eff: float | None = None) -> tuple[Floats, float]:
    """Return weights of draws that sum to 1, ``(draw,)`` with one chain after the other, and Pareto k.

    Args:
        log_ratios: logs of the wanted density over that of the draws, with dims ``chain`` and ``draw``.
        r_eff: relative efficiency of the draws; estimated from the chains by default.
    """
    options = {} if r_eff is None else {"r_eff": r_eff}
    logs, pareto_k = (-log_ratios).azstats.psislw(dim=["chain", "draw"], **options)  # takes inverse ratios
    each = np.exp(logs.transpose("chain", "draw").to_numpy().ravel())
    return each / each.sum(), float(pareto_k)


def largest_reliable_k(draws: int) -> float:
    """Return the Pareto k above which the weights of so many draws are not reliable."""
    return float(min(1 - 1 / np.log10(draws), 0.7))
