"""Named checks of a sampled posterior, by ArviZ, with advice for each that fails."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from bayes_atlas.folder.info import Check
from bayes_atlas.sampler.draws import Missing

R_HAT, ESS, BFMI = 1.01, 400.0, 0.3

MORE_DRAWS = "sample longer (--warmup and --draws twice as large)"
ADVICE = {
    "r_hat_below_1_01": f"chains disagree: {MORE_DRAWS}; "
    "if they still disagree, the parameter named is not identified: see `check`",
    "ess_bulk_at_least_400": f"too few independent draws for means: {MORE_DRAWS}",
    "ess_tail_at_least_400": f"too few independent draws for interval ends: {MORE_DRAWS}",
    "no_divergences": "the sampler missed a region, even with smaller steps and other centring: "
    "the parameters named are not identified, see `check`; leave out their language, or add runs that inform them",
    "e_bfmi_at_least_0_3": f"the chain explores energies slowly: {MORE_DRAWS}, "
    "or look for a parameter the data do not inform",
    "tree_depth_below_limit": "trajectories were cut short: raise --max-tree-depth, or sample a longer warm-up",
}


def named_checks(draws: xr.DataTree, max_tree_depth: int, blamed: str = "") -> list[Check]:
    """Check `draws` (groups ``posterior`` and ``sample_stats``); `blamed` names parameters that divergent draws share.

    A check fails if its value is not finite. A parameter that never changes therefore fails too: its R-hat is NaN, and
    its draws look the same as those of stuck chains.
    """
    posterior = draws["posterior"].to_dataset().map(lambda v: v.where(np.isfinite(v)))  # ranks would hide infinities
    stats = draws["sample_stats"].to_dataset()
    r_hat, r_hat_where = _worst(_quietly(az.rhat, posterior), np.argmax)
    bulk, bulk_where = _worst(_quietly(az.ess, posterior, method="bulk"), np.argmin)
    tail, tail_where = _worst(_quietly(az.ess, posterior, method="tail"), np.argmin)
    bfmi = _quietly(az.bfmi, draws)["energy"].to_numpy()
    divergences = stats["diverging"].sum("draw").to_numpy()
    deepest = stats["tree_depth"].max("draw").to_numpy()

    def check(name: str, passed: bool, value: float, limit: float, where: str = "") -> Check:
        return Check(name=name, passed=bool(passed), value=float(value), limit=limit, where=where, advice=ADVICE[name])

    return [
        check("r_hat_below_1_01", r_hat < R_HAT, r_hat, R_HAT, r_hat_where),
        check("ess_bulk_at_least_400", bulk >= ESS, bulk, ESS, bulk_where),
        check("ess_tail_at_least_400", tail >= ESS, tail, ESS, tail_where),
        check(
            "no_divergences",
            divergences.sum() == 0,
            divergences.sum(),
            0.0,
            (blamed or f"chain {divergences.argmax()}") if divergences.any() else "",
        ),
        check("e_bfmi_at_least_0_3", bfmi.min() >= BFMI, bfmi.min(), BFMI, f"chain {bfmi.argmin()}"),
        check(
            "tree_depth_below_limit",
            deepest.max() < max_tree_depth,
            deepest.max(),
            float(max_tree_depth),
            f"chain {deepest.argmax()}",
        ),
    ]


def missing(checks: Sequence[Check]) -> list[Missing]:
    """Return the checks that fail, with the factor by which more draws would pass them.

    The effective sample size grows with the number of draws, and the excess of R-hat shrinks with it.
    """
    return [Missing(each.name, each.where, _longer(each)) for each in checks if not each.passed]


def _longer(check: Check) -> float:
    if check.name == "r_hat_below_1_01":
        factor = (check.value - 1) / (check.limit - 1)
    elif check.name.startswith("ess_"):
        factor = check.limit / max(check.value, 1.0)
    else:
        return np.inf
    return factor if np.isfinite(factor) else np.inf


def _quietly(statistic: Callable[..., Any], draws: xr.Dataset | xr.DataTree, **options: str) -> Any:
    """Compute a statistic without ArviZ's warnings about non-finite values, which fail a check here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return statistic(draws, **options)


def _worst(statistic: xr.Dataset, choose: Callable[..., Any]) -> tuple[float, str]:
    """Return the worst value and its parameter; `choose` is `np.argmax` or `np.argmin`, which both pick NaN first."""
    names, values = [], []
    for name, array in statistic.data_vars.items():
        flat = array.to_numpy().reshape(-1)
        at = int(choose(flat))
        place = zip(array.dims, np.unravel_index(at, array.shape), strict=True)
        labels = [str(array[dim].to_numpy()[index]) for dim, index in place]
        names.append(f"{name}[{', '.join(labels)}]" if labels else str(name))
        values.append(float(flat[at]))
    worst = int(choose(values))
    return values[worst], names[worst]
