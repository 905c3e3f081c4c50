"""Named checks of a sampled posterior, by ArviZ, and what to do about each that fails."""

import warnings
from collections.abc import Callable

import arviz as az
import numpy as np
import xarray as xr

from bayes_atlas.posterior import Check

R_HAT, ESS, BFMI = 1.01, 400.0, 0.3

MORE_DRAWS = "sample longer (--warmup and --draws twice as large)"
ADVICE = {
    "r_hat_below_1_01": f"chains disagree: {MORE_DRAWS}; if it stays, the parameter named is not identified: see `check`",
    "ess_bulk_at_least_400": f"too few independent draws for means: {MORE_DRAWS}",
    "ess_tail_at_least_400": f"too few independent draws for interval ends: {MORE_DRAWS}",
    "no_divergences": "the sampler missed a region: raise --target-accept to .95, then .99",
    "e_bfmi_at_least_0_3": f"the chain explores energies slowly: {MORE_DRAWS}, or look for a parameter the data do not inform",
    "tree_depth_below_limit": "trajectories were cut short: raise --max-tree-depth, or sample a longer warm-up",
}


def named_checks(draws: xr.DataTree, max_tree_depth: int) -> list[Check]:
    """Check `draws` (groups ``posterior`` and ``sample_stats``); a check whose value is not finite fails."""
    posterior = draws["posterior"].to_dataset()
    stats = draws["sample_stats"].to_dataset()
    r_hat, r_hat_where = _worst(_of_varying(posterior, az.rhat), max)
    bulk, bulk_where = _worst(_of_varying(posterior, lambda data: az.ess(data, method="bulk")), min)
    tail, tail_where = _worst(_of_varying(posterior, lambda data: az.ess(data, method="tail")), min)
    divergences = stats["diverging"].sum("draw")
    bfmi, bfmi_where = _worst(az.bfmi(draws)["energy"].to_dataset(name="chain_energy"), min)
    deepest = stats["tree_depth"].max("draw")

    def check(name: str, passed: bool, value: float, limit: float, where: str = "") -> Check:
        return Check(name=name, passed=bool(passed), value=value, limit=limit, where=where, advice=ADVICE[name])

    return [
        check("r_hat_below_1_01", r_hat < R_HAT, r_hat, R_HAT, r_hat_where),
        check("ess_bulk_at_least_400", bulk >= ESS, bulk, ESS, bulk_where),
        check("ess_tail_at_least_400", tail >= ESS, tail, ESS, tail_where),
        check("no_divergences", int(divergences.sum()) == 0, float(divergences.sum()), 0.0, _chain(divergences)),
        check("e_bfmi_at_least_0_3", bfmi >= BFMI, bfmi, BFMI, bfmi_where),
        check(
            "tree_depth_below_limit",
            int(deepest.max()) < max_tree_depth,
            float(deepest.max()),
            float(max_tree_depth),
            _chain(deepest),
        ),
    ]


def _of_varying(posterior: xr.Dataset, statistic: Callable[[xr.Dataset], xr.Dataset]) -> xr.Dataset:
    with warnings.catch_warnings():
        # A value that is not finite makes ArviZ warn; here it makes the check fail.
        warnings.simplefilter("ignore", RuntimeWarning)
        return statistic(posterior)


def _worst(statistic: xr.Dataset, choose: Callable[..., float]) -> tuple[float, str]:
    """Largest or smallest value and the name of its parameter; a NaN is worst of all."""
    named = {}
    for name, values in statistic.data_vars.items():
        flat = values.to_numpy().reshape(-1)
        bad = np.flatnonzero(~np.isfinite(flat))
        index = int(bad[0]) if bad.size else int(flat.argmax() if choose is max else flat.argmin())
        place = np.unravel_index(index, values.shape)
        labels = [str(values[dim].to_numpy()[at]) for dim, at in zip(values.dims, place, strict=True)]
        named[f"{name}[{', '.join(labels)}]" if labels else str(name)] = float(flat[index])
    broken = [name for name, value in named.items() if not np.isfinite(value)]
    worst = broken[0] if broken else choose(named, key=named.__getitem__)
    return named[worst], worst


def _chain(counts: xr.DataArray) -> str:
    """The chain with the largest count, where there is any."""
    return f"chain {int(counts.to_numpy().argmax())}" if int(counts.max()) else ""
