"""Identifiability of the laws' parameters from a run table.

No sampling is needed. For most parameters the design of the runs decides: runs of one model size do not identify alpha.
For repetition a quick profile likelihood decides. ``yes`` does not promise a narrow posterior. ``weak`` means that the
prior or other languages determine much of the parameter, ``no`` that they determine all of it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.data.repetition_profile import R_GRID, SAME_EPOCHS, Profile, allowed, profile_rows
from bayes_atlas.data.runs import co_sampled_sources
from bayes_atlas.data.selection import NAMED_SOURCES

type Range = tuple[float, float]
type Status = Literal["yes", "weak", "no"]
DISTINCT = 1.1  # sizes within this factor count as one level
NARROW = 2.0  # a range of sizes up to this factor identifies an exponent only weakly
LEVELS = 3  # the offset, factor and exponent of a power law need three levels
CONFOUNDED = 0.95  # correlation of log N and log D above which their exponents are confounded
INFORMATIVE = 0.1  # least share of languages with LEVELS levels that identifies a shared exponent
# Along a compute-optimal frontier reducible loss falls as C^(-alpha beta / (alpha + beta)), which is C^-0.17 with the
# published exponents. Over less than this factor of compute it does not even halve and hardly differs from a constant.
COMPUTE_FACTOR = 100.0
SAME_SHARE = 0.01  # mixture shares within this difference are equal
WIDE = 10.0  # an allowed range of R_D* or R_N* wider than this factor is weak


@dataclass(frozen=True)
class Finding:
    """Verdict on the identifiability of a parameter, with its reason."""

    parameter: str
    status: Status
    reason: str


def extremes(values: Floats) -> Range:
    """Return the least and the greatest of `values`."""
    return float(values.min()), float(values.max())


def findings(runs: xr.Dataset) -> list[Finding]:
    """Return one finding for each law parameter that a run table can inform."""
    alpha, beta = _exponents(runs)
    return [
        _irreducible(runs, alpha, beta),
        alpha,
        beta,
        *_repetition(runs),
        *_transfer(runs),
        *_capacity(runs, alpha, beta),
    ]


def _exponents(runs: xr.Dataset) -> list[Finding]:
    codes = np.unique(runs["language"].to_numpy(), return_inverse=True)[1]
    log_params, log_tokens = np.log(runs["params"].to_numpy()), np.log(runs["tokens"].to_numpy())
    together = _correlation(_within(log_params, codes), _within(log_tokens, codes))
    return [
        _exponent("alpha", "model size", log_params, codes, together),
        _exponent("beta", "amount of own tokens", log_tokens, codes, together),
    ]


def _exponent(name: str, noun: str, log_size: Floats, codes: NDArray[np.intp], together: float) -> Finding:
    levels = np.array([_levels(log_size[codes == code]) for code in range(codes.max() + 1)])
    informative = int((levels >= LEVELS).sum())
    of = f"languages with at least {LEVELS} distinct levels: {informative} of {len(levels)}"
    spread = _widest(log_size, codes)
    if _levels(log_size) == 1:
        return Finding(name, "no", f"every run has the same {noun}")
    if levels.max() == 1:
        return Finding(name, "no", f"all runs of a language have the same {noun}; it varies only between languages")
    if spread <= NARROW:
        return Finding(name, "weak", f"within a language the {noun} varies by at most a factor of {spread:.3g}")
    if abs(together) > CONFOUNDED:
        reason = f"size and data are confounded: log N and log D have correlation {together:.3f} within languages"
        return Finding(name, "weak", reason)
    if informative < INFORMATIVE * len(levels) or informative == 0:
        return Finding(name, "weak", f"{of}; with fewer, the exponent is not identified apart from its factor and E")
    return Finding(name, "yes", f"within a language the {noun} varies by up to a factor of {spread:.3g}; {of}")


def _levels(log_size: Floats) -> int:
    """Count the levels that are more than a factor DISTINCT apart, from the least upwards."""
    ordered, count, position = np.sort(log_size), 0, 0
    while position < len(ordered):
        count += 1
        position = int(np.searchsorted(ordered, ordered[position] + np.log(DISTINCT), side="right"))
    return count


def _widest(values: Floats, codes: NDArray[np.intp]) -> float:
    """Return the largest factor that exp(`values`) spans within one language."""
    return float(np.exp(max(np.ptp(values[codes == code]) for code in range(codes.max() + 1))))


def _within(values: Floats, codes: NDArray[np.intp]) -> Floats:
    """Return `values` minus their mean within each language."""
    means = np.bincount(codes, values) / np.bincount(codes)
    return values - means[codes]


def _correlation(first: Floats, second: Floats) -> float:
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / scale) if scale > 0 else 0.0


def _irreducible(runs: xr.Dataset, alpha: Finding, beta: Finding) -> Finding:
    for exponent, noun in ((alpha, "size"), (beta, "data")):
        if exponent.status == "no":
            return Finding("E", "no", f"not identified apart from the loss due to finite {noun}: {exponent.reason}")
    codes = np.unique(runs["language"].to_numpy(), return_inverse=True)[1]
    factor = _widest(np.log(runs["compute"].to_numpy()), codes)
    reason = f"within a language compute spans up to a factor of {factor:.3g}"
    if factor < COMPUTE_FACTOR:
        return Finding("E", "weak", f"{reason}; below {COMPUTE_FACTOR:g} reducible loss does not even halve")
    if "weak" in (alpha.status, beta.status):
        return Finding("E", "weak", f"{reason}, but E trades off against a weakly identified exponent")
    return Finding("E", "yes", reason)


def _transfer(runs: xr.Dataset) -> list[Finding]:
    languages, codes = np.unique(runs["language"].to_numpy(), return_inverse=True)
    sources = runs["source"].to_numpy()
    chosen = co_sampled_sources(runs, NAMED_SOURCES).sel(language=languages).to_numpy()
    tokens = runs["source_tokens"].transpose("row", "source").to_numpy()
    share = tokens / tokens.sum(axis=1, keepdims=True)
    own = sources == runs["own"].to_numpy()[:, None]
    named = (sources == chosen[..., None]).any(axis=1)[codes]
    other = np.where(own | named, 0.0, share).sum(axis=1, keepdims=True)
    beyond = f"sources beyond the {NAMED_SOURCES} most co-sampled"
    return [
        _worth("tau", np.where(named, share, 0.0), codes, "named sources", "every row trains on a single source"),
        _worth("tau_other", other, codes, beyond, f"no row trains on {beyond}"),
    ]


def _worth(name: str, shares: Floats, codes: NDArray[np.intp], noun: str, absent: str) -> Finding:
    """Return the finding on the transfer weights of sources with mixture shares `shares` ``(row, source)``."""
    by_language = [shares[codes == code] for code in range(codes.max() + 1)]
    trained = [rows for rows in by_language if rows.any()]
    if not trained:
        return Finding(name, "no", absent)
    mixtures = [len(np.unique(np.round(rows / SAME_SHARE), axis=0)) for rows in trained]
    if max(mixtures) == 1:
        return Finding(name, "weak", f"the share of {noun} never varies within a language")
    unknowns = [int(rows.any(axis=0).sum()) for rows in trained]
    enough = sum(count > wanted for count, wanted in zip(mixtures, unknowns, strict=True))
    of = f"{enough} of {len(trained)}"
    reason = f"languages with more distinct mixtures than unknown transfer weights of {noun}: {of}"
    return Finding(name, "yes" if enough else "weak", reason)


def _capacity(runs: xr.Dataset, alpha: Finding, beta: Finding) -> list[Finding]:
    codes = np.unique(runs["language"].to_numpy(), return_inverse=True)[1]
    least, most = extremes(runs["languages"].to_numpy())
    within = _widest(np.log(runs["languages"].to_numpy()), codes)
    return [
        _growth("phi", least, most, within, alpha, "size"),
        _growth("psi", least, most, within, beta, "data"),
    ]


def _growth(name: str, least: float, most: float, within: float, exponent: Finding, noun: str) -> Finding:
    if least == most:
        return Finding(name, "no", f"every run trains on the same number of languages, {least:g}")
    if exponent.status == "no":
        return Finding(name, "weak", f"the {noun} term that it scales is not identified: {exponent.reason}")
    reason = f"runs train on {least:g} to {most:g} languages, up to a factor of {within:.3g} apart within a language"
    return Finding(name, "weak" if within <= NARROW else "yes", reason)


def _repetition(runs: xr.Dataset) -> list[Finding]:
    epochs = runs["tokens"].to_numpy() / runs["unique"].to_numpy()
    source_epochs = (runs["source_tokens"] / runs["source_unique"]).to_numpy()
    names = ("lam", "R_N")
    if source_epochs.max() <= SAME_EPOCHS:
        return [Finding(name, "no", "no row repeats its data") for name in names]
    if epochs.max() <= SAME_EPOCHS:
        return [
            Finding(
                "lam", "weak", "only sources other than the row's own language repeat; they inform lam only through tau"
            ),
            Finding("R_N", "no", "no row repeats data of its own language"),
        ]
    if epochs.max() <= epochs.min() * SAME_EPOCHS:
        return [Finding(name, "no", f"every row has the same number of epochs, {epochs.max():.3g}") for name in names]
    return _profiled(runs)


def _profiled(runs: xr.Dataset) -> list[Finding]:
    sample, note = profile_rows(runs)
    if sample.sizes["row"] == 0:
        reason = "epochs vary between languages, but not between the final checkpoints of any one language"
        return [Finding(name, "weak", reason) for name in ("lam", "R_N")]
    problem = Profile(sample)
    if problem.rows <= problem.unknowns:
        reason = f"{problem.rows} final checkpoints are too few for a profile with {problem.unknowns} unknowns"
        return [Finding(name, "weak", reason) for name in ("lam", "R_N")]
    return [
        _profile_finding("lam", "R_D* = 1 / lam", *problem.drop(Profile.R_D), note),
        _profile_finding("R_N", "R_N*", *problem.drop(Profile.R_N), note),
    ]


def _profile_finding(name: str, symbol: str, values: Floats, drop: Floats, note: str) -> Finding:
    lower, upper = allowed(values, drop)
    best = f"best near {values[np.argmin(drop)]:.2g}; {note}"
    tried = f"range tried: {R_GRID[0]:g} to {R_GRID[-1]:g}"
    if lower is None and upper is None:
        return Finding(name, "no", f"the data allow any {symbol} ({tried}; {note})")
    if upper is None:
        return Finding(
            name, "weak", f"the data put no upper limit on {symbol}, only a lower one at {lower:.2g} ({tried}; {best})"
        )
    if lower is None:
        return Finding(
            name, "weak", f"the data put no lower limit on {symbol}, only an upper one at {upper:.2g} ({tried}; {best})"
        )
    status: Status = "weak" if upper > WIDE * lower else "yes"
    return Finding(name, status, f"the data allow {symbol} from {lower:.3g} to {upper:.3g} ({best})")
