"""Error of a finite number of draws: R-hat, effective sample sizes and standard errors (Vehtari et al. 2021).

The definitions are those of Stan and ArviZ. ArviZ itself takes longer to import than most decisions take, so that
decisions do without it; the tests compare the two. Draws of a decision are flat, one chain after the other.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri

from bayes_atlas.arrays import Flags, Floats

FEWEST = 4  # draws of a chain, without which nothing can be said
R_HAT, ESS = 1.01, 400.0  # limits of the checks of a fit, which hold for a decision too
TAILS = (0.05, 0.95)  # quantiles of the tail ESS
BELOW = float(ndtr(-1))  # probability more than one standard error below


class Convergence(TypedDict):
    """How well the chains determine a quantity, as in the JSON document; None for one that does not vary."""

    r_hat: float | None  # rank-normalised, the larger one of values and of distances from the median
    ess_bulk: float | None
    ess_tail: float | None


def effective_size(halves: Floats) -> Floats:
    """Return the effective sample size of the mean of draws ``(.., chain, draw)``; chains are `_halves`."""
    chains, length = halves.shape[-2:]
    padded = 1 << (2 * length - 1).bit_length()
    spectrum = np.fft.rfft(halves - halves.mean(axis=-1, keepdims=True), padded, axis=-1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, padded, axis=-1)[..., :length].mean(axis=-2) / length
    within = covariance[..., :1] * length / (length - 1)
    total = covariance[..., :1] + halves.mean(axis=-1).var(axis=-1, ddof=1)[..., None]
    still = halves.max(axis=(-2, -1)) == halves.min(axis=(-2, -1))
    correlation = 1 - (within - covariance) / np.where(still[..., None], 1.0, total)
    correlation[..., 0] = 1.0
    return np.where(still, chains * length, chains * length / _autocorrelation_time(correlation, chains * length))


def _autocorrelation_time(correlation: Floats, count: int) -> Floats:
    """Return the sum of correlations ``(.., lag)`` over all lags, by Geyer's initial monotone sequence."""
    most = max((correlation.shape[-1] - 3) // 2, 0)  # pairs of lags
    pairs = correlation[..., 0 : 2 * most : 2] + correlation[..., 1 : 2 * most : 2]
    kept = np.logical_and.accumulate(pairs > 0, axis=-1)
    total = np.where(kept, np.minimum.accumulate(pairs, axis=-1), 0.0).sum(axis=-1)
    following = np.take_along_axis(correlation, 2 * kept.sum(axis=-1, keepdims=True), axis=-1)[..., 0]
    return np.maximum(-1 + 2 * total + np.maximum(following, 0.0), 1 / np.log10(count))


def _halves(draws: NDArray[np.floating | np.bool_], chains: int) -> Floats:
    """Return both halves of every chain, ``(.., chain, draw)``, of flat draws ``(draw, ..)``.

    If a chain has an odd number of draws, the one in the middle is left out.
    """
    by_chain = np.asarray(draws, dtype=float).reshape(chains, -1, *draws.shape[1:])
    half = by_chain.shape[1] // 2
    halves = np.concatenate([by_chain[:, :half], by_chain[:, -half:]])
    return np.moveaxis(halves, (0, 1), (-2, -1))


def convergence(draws: Floats, chains: int) -> Convergence:
    """Return R-hat, bulk and tail ESS of `draws` ``(draw,)``. If some are infinite, those of the ranks.

    Args:
        draws: without NaN.
        chains: number of chains, which lie one after the other.
    """
    if len(draws) < FEWEST * chains or (draws == draws[0]).all():
        return {"r_hat": None, "ess_bulk": None, "ess_tail": None}
    if not np.isfinite(draws).all():
        draws = _ranks(draws)  # whose distances from the median are finite
    halves = _halves(draws, chains)
    bulk, folded = _normal(halves), _normal(np.abs(halves - np.median(halves)))
    tails = draws <= np.quantile(draws, TAILS)[:, None]
    return {
        "r_hat": _or_none(max(_r_hat(bulk), _r_hat(folded))),
        "ess_bulk": float(effective_size(bulk)),
        "ess_tail": float(effective_size(_halves(tails.T, chains)).min()),
    }


def _ranks(draws: Floats) -> Floats:
    """Return the ranks of all `draws`, from 1; equal draws share their mean rank."""
    _, place, count = np.unique(draws, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place]).reshape(draws.shape)


def _normal(draws: Floats) -> Floats:
    """Return the standard normal quantiles of the ranks (Blom)."""
    return np.asarray(ndtri((_ranks(draws) - 3 / 8) / (draws.size + 1 / 4)))


def _r_hat(chains: Floats) -> float:
    """Return R-hat of ``(chain, draw)``; infinite if every chain stands still at a place of its own."""
    length = chains.shape[1]
    if (chains == chains[:, :1]).all():
        return float("inf")
    within, between = chains.var(axis=1, ddof=1).mean(), chains.mean(axis=1).var(ddof=1)
    return float(np.sqrt(between / within + (length - 1) / length))


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def quantile_errors(
    draws: Floats, probabilities: Sequence[float], chains: int, among: Flags | None = None
) -> list[float | None]:
    """Return the Monte Carlo standard error of quantiles: half the distance between the ends of their central .68.

    Args:
        draws: ``(draw,)``; infinite ones count as the largest or least, and an error that reaches them is None.
        probabilities: of the quantiles.
        chains: number of chains, which lie one after the other.
        among: ``(draw,)`` True for draws of the distribution whose quantiles are meant; all by default.
    """
    kept = np.full(len(draws), True) if among is None else among
    ordered = np.sort(draws[kept])
    if len(draws) < FEWEST * chains or not len(ordered):
        return [None] * len(probabilities)
    wanted = np.asarray(probabilities)
    below = draws <= np.quantile(ordered, wanted, method="lower")[:, None]
    centred = np.where(kept, below - below[:, kept].mean(axis=1, keepdims=True), 0.0)
    size = kept.mean() * effective_size(_halves(centred.T, chains))  # a ratio of means: its draws are `centred`
    ends = betaincinv(size * wanted + 1, size * (1 - wanted) + 1, np.array([[BELOW], [1 - BELOW]]))
    last = len(ordered) - 1
    first, second = ends * len(ordered) - 1
    lower = ordered[np.floor(np.maximum(first, 0)).astype(int)]
    upper = ordered[np.ceil(np.minimum(second, last)).astype(int)]
    with np.errstate(invalid="ignore"):  # between infinite draws
        return [_or_none(error) for error in ((upper - lower) / 2).tolist()]


def mean_errors(draws: NDArray[np.floating | np.bool_], chains: int) -> list[float | None]:
    """Return the Monte Carlo standard error of means of `draws` ``(draw,)`` or ``(draw, quantity)``: one for each.

    Means are probabilities where draws are true or false. The error is 0 for draws that are all equal, and None for
    fewer than four of a chain.
    """
    flat = draws.reshape(len(draws), -1)
    if len(draws) < FEWEST * chains:
        return [None] * flat.shape[1]
    errors: list[float | None] = (flat.std(axis=0, ddof=1) / np.sqrt(effective_size(_halves(flat, chains)))).tolist()
    return errors


def numerics(quantities: Mapping[str, Floats], chains: int) -> dict[str, Convergence]:
    """Return `convergence` of every quantity ``(draw,)``, as in the JSON document."""
    return {name: convergence(draws, chains) for name, draws in quantities.items()}


def numerics_notes(quantities: Mapping[str, Floats], chains: int) -> list[str]:
    """Return a note on the quantities about which chains disagree, or whose draws are effectively few.

    The error of interval ends is that of the 90% interval, as a share of its width. It misses the disagreement.
    """
    found = {name: each for name, each in numerics(quantities, chains).items() if _is_poor(each)}
    if not found:
        return []
    r_hat = max(each["r_hat"] or np.inf for each in found.values())
    size = min(min(each["ess_bulk"] or 0.0, each["ess_tail"] or 0.0) for each in found.values())
    share = max((_share_of_width(quantities[name], chains) for name in found), default=0.0)
    least = "at least " if r_hat > R_HAT else ""
    amount = f" by {least}{share:.0%} of the width" if share else ""
    return [
        f"the interval ends of {', '.join(found)} are uncertain{amount} from sampling alone (R-hat {r_hat:.4g}, ESS "
        f"{size:,.0f}): sample longer, and store all draws"
    ]


def _is_poor(found: Convergence) -> bool:
    if found["ess_bulk"] is None or found["ess_tail"] is None:
        return False
    return found["r_hat"] is None or found["r_hat"] > R_HAT or min(found["ess_bulk"], found["ess_tail"]) < ESS


def _share_of_width(draws: Floats, chains: int) -> float:
    """Return the larger error of the two ends of the 90% interval over its width; 0 if it is not finite."""
    among = np.isfinite(draws)
    errors = [error for error in quantile_errors(draws, TAILS, chains, among) if error is not None]
    lower, upper = np.quantile(draws[among], TAILS) if among.any() else (0.0, 0.0)
    return max(errors, default=0.0) / (upper - lower) if upper > lower else 0.0
