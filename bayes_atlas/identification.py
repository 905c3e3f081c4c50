"""What a run table holds, and which parameters of the laws it can and cannot tell.

`describe` needs no sampling: for most parameters the design of the runs decides (one size says nothing of alpha), and
for repetition a quick profile of the objective does. ``yes`` is no promise of a narrow posterior, ``weak`` means that
the prior or other languages will decide much of it, ``no`` that they decide all of it.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares

from bayes_atlas.laws import data_constrained
from bayes_atlas.runs import LABELS, SCRATCH, co_sampled_sources

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Range = tuple[float, float]
type Status = Literal["yes", "weak", "no"]

DISTINCT = 1.1  # levels of a size closer than this factor count as one
NARROW = 2.0  # a range of sizes up to this factor says little of an exponent
LEVELS = 3  # offset, factor and exponent of a power law need three levels
CONFOUNDED = 0.95  # correlation of log N and log D beyond which their exponents cannot be told apart
INFORMATIVE = 0.1  # share of languages with LEVELS levels below which a shared exponent rests on too few of them
# Along a compute-optimal frontier reducible loss falls as C^(-alpha beta / (alpha + beta)), with the published
# exponents C^-0.17. Over less than this factor of compute it does not even halve, and hardly differs from a constant.
COMPUTE_FACTOR = 100.0
SAME_EPOCHS = 1.01  # epoch counts within this factor are one count, and up to one epoch plus this nothing repeats
SAME_SHARE = 0.01  # shares of a mixture closer than this are one share
NAMED_SOURCES = 3  # co-sampled sources that ATLAS names, the paper's choice; the rest go by tau_other

R_GRID = np.geomspace(1.0, 1000.0, 16)  # values of R_D* and R_N* at which the profile is taken
LIKELIHOOD_DROP = 2.7055 / 2  # half the 90 % quantile of chi-squared with one degree of freedom
PROFILE_ROWS = 400
PRECISION = 1e-5  # relative, of the profile's objective
PROFILE_LANGUAGES = 4
WIDE = 10.0  # a range allowed for R_D* or R_N* wider than this factor is weak
FAR = 4.0  # the profile ends where likelihood has fallen by so many times LIKELIHOOD_DROP
STEPS = 5  # alternations between unknowns and the scale of the noise
LEAST_SCALE = 1e-5  # of the noise, so that losses without any can be profiled
TAIL = 4.0  # degrees of freedom of the profile's Student-t noise on log loss


@dataclass(frozen=True)
class Finding:
    """Whether the runs can tell a parameter, and why."""

    parameter: str
    status: Status
    reason: str


@dataclass(frozen=True)
class Extent:
    """How far a set of rows reaches; a range is (least, most), None where the table does not say."""

    rows: int
    runs: int
    params: Range
    tokens: Range
    compute: Range
    languages: Range
    unique: Range | None  # over rows that state it
    epochs: Range | None  # likewise: own tokens over own unique tokens


@dataclass(frozen=True)
class Description:
    """A run table in numbers."""

    name: str
    sources: list[str]
    total: Extent
    by_language: dict[str, Extent]
    init: dict[str, int]  # rows by checkpoint that training started from
    labels: dict[str, dict[str, int]]  # rows by vocabulary and by mixture, where the table has them
    identified: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, fit for JSON."""
        return asdict(self)


def describe(runs: xr.Dataset) -> Description:
    """Describe `runs` (of `bayes_atlas.runs`) and what they identify; takes up to a few seconds."""
    language = runs["language"].to_numpy()
    return Description(
        name=str(runs.attrs.get("name", "runs")),
        sources=[str(source) for source in runs["source"].to_numpy()],
        total=_extent(runs),
        by_language={str(name): _extent(runs.isel(row=language == name)) for name in np.unique(language)},
        init=_counts(runs["init"]),
        labels={name: _counts(runs[name]) for name in LABELS if name in runs.coords},
        identified=findings(runs),
    )


def _extent(runs: xr.Dataset) -> Extent:
    unique = runs["unique"].to_numpy()
    stated = np.isfinite(unique)
    return Extent(
        rows=runs.sizes["row"],
        runs=len(np.unique(runs["run"].to_numpy())),
        params=_range(runs["params"].to_numpy()),
        tokens=_range(runs["tokens"].to_numpy()),
        compute=_range(runs["compute"].to_numpy()),
        languages=_range(runs["languages"].to_numpy()),
        unique=_range(unique[stated]) if stated.any() else None,
        epochs=_range((runs["tokens"].to_numpy() / unique)[stated]) if stated.any() else None,
    )


def _range(values: Floats) -> Range:
    return float(values.min()), float(values.max())


def _counts(labels: xr.DataArray) -> dict[str, int]:
    names, counts = np.unique(labels.to_numpy(), return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def findings(runs: xr.Dataset) -> list[Finding]:
    """One finding for each parameter of the laws that run tables can inform."""
    alpha, beta = _exponents(runs)
    return [
        _irreducible(runs, alpha, beta),
        alpha,
        beta,
        *_repetition(runs),
        *_transfer(runs),
        *_capacity(runs, alpha, beta),
    ]


# Size, data and the constant


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
    of = f"{informative} of {len(levels)} languages have {LEVELS} or more levels of it"
    spread = _widest(log_size, codes)
    if _levels(log_size) == 1:
        return Finding(name, "no", f"every run has the same {noun}")
    if levels.max() == 1:
        return Finding(name, "no", f"within every language all runs have the same {noun}: it varies only between them")
    if spread <= NARROW:
        return Finding(name, "weak", f"within a language the {noun} varies by a factor of {spread:.3g} at most")
    if abs(together) > CONFOUNDED:
        reason = f"size and data move together: log N and log D correlate by {together:.3f} within languages"
        return Finding(name, "weak", reason)
    if informative < INFORMATIVE * len(levels) or informative == 0:
        return Finding(name, "weak", f"{of}: with fewer the exponent cannot be told from its factor and E")
    return Finding(name, "yes", f"the {noun} varies by a factor of {spread:.3g} within a language; {of}")


def _levels(log_size: Floats) -> int:
    """Number of levels that are more than DISTINCT apart, from the least upwards."""
    ordered, count, position = np.sort(log_size), 0, 0
    while position < len(ordered):
        count += 1
        position = int(np.searchsorted(ordered, ordered[position] + np.log(DISTINCT), side="right"))
    return count


def _widest(values: Floats, codes: NDArray[np.intp]) -> float:
    """Factor that the language with the widest range of exp(`values`) spans."""
    return float(np.exp(max(np.ptp(values[codes == code]) for code in range(codes.max() + 1))))


def _within(values: Floats, codes: NDArray[np.intp]) -> Floats:
    """`values` less their mean within each language."""
    means = np.bincount(codes, values) / np.bincount(codes)
    return values - means[codes]


def _correlation(first: Floats, second: Floats) -> float:
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / scale) if scale > 0 else 0.0


def _irreducible(runs: xr.Dataset, alpha: Finding, beta: Finding) -> Finding:
    for exponent, noun in ((alpha, "size"), (beta, "data")):
        if exponent.status == "no":
            return Finding("E", "no", f"it cannot be told from the loss due to finite {noun}: {exponent.reason}")
    codes = np.unique(runs["language"].to_numpy(), return_inverse=True)[1]
    factor = _widest(np.log(runs["compute"].to_numpy()), codes)
    reason = f"compute spans a factor of {factor:.3g} within a language"
    if factor < COMPUTE_FACTOR:
        return Finding("E", "weak", f"{reason}: below {COMPUTE_FACTOR:g} reducible loss does not even halve")
    if "weak" in (alpha.status, beta.status):
        return Finding("E", "weak", f"{reason}, but E trades off against an exponent that is weak")
    return Finding("E", "yes", reason)


# Transfer and capacity


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
        _worth("tau", np.where(named, share, 0.0), codes, "named sources", "every row trains on one source only"),
        _worth("tau_other", other, codes, beyond, f"no row trains on {beyond}"),
    ]


def _worth(name: str, shares: Floats, codes: NDArray[np.intp], noun: str, absent: str) -> Finding:
    """On the worth of sources that have `shares` (row, source) of the mixtures."""
    by_language = [shares[codes == code] for code in range(codes.max() + 1)]
    trained = [rows for rows in by_language if rows.any()]
    if not trained:
        return Finding(name, "no", absent)
    mixtures = [len(np.unique(np.round(rows / SAME_SHARE), axis=0)) for rows in trained]
    if max(mixtures) == 1:
        return Finding(name, "weak", f"the share of {noun} never varies within a language")
    unknowns = [int(rows.any(axis=0).sum()) for rows in trained]
    enough = sum(count > wanted for count, wanted in zip(mixtures, unknowns, strict=True))
    reason = f"{enough} of {len(trained)} languages have more distinct mixtures than unknown worths of {noun}"
    return Finding(name, "yes" if enough else "weak", reason)


def _capacity(runs: xr.Dataset, alpha: Finding, beta: Finding) -> list[Finding]:
    codes = np.unique(runs["language"].to_numpy(), return_inverse=True)[1]
    least, most = _range(runs["languages"].to_numpy())
    within = _widest(np.log(runs["languages"].to_numpy()), codes)
    return [
        _growth("phi", least, most, within, alpha, "size"),
        _growth("psi", least, most, within, beta, "data"),
    ]


def _growth(name: str, least: float, most: float, within: float, exponent: Finding, noun: str) -> Finding:
    if least == most:
        return Finding(name, "no", f"every run trains on the same number of languages, {least:g}")
    if exponent.status == "no":
        return Finding(name, "weak", f"the {noun} term that it scales cannot itself be told: {exponent.reason}")
    reason = f"runs train on {least:g} to {most:g} languages, a factor of {within:.3g} within a language"
    return Finding(name, "weak" if within <= NARROW else "yes", reason)


# Repetition


def _repetition(runs: xr.Dataset) -> list[Finding]:
    epochs = runs["tokens"].to_numpy() / runs["unique"].to_numpy()
    source_epochs = (runs["source_tokens"] / runs["source_unique"]).to_numpy()
    names = ("lam", "R_N")
    if source_epochs.max() <= SAME_EPOCHS:
        return [Finding(name, "no", "no row repeats its data") for name in names]
    if epochs.max() <= SAME_EPOCHS:
        return [
            Finding(
                "lam", "weak", "only sources other than the row's own language repeat: it is told through tau alone"
            ),
            Finding("R_N", "no", "no row repeats data of its own language"),
        ]
    if epochs.max() <= epochs.min() * SAME_EPOCHS:
        return [Finding(name, "no", f"every row has the same number of epochs, {epochs.max():.3g}") for name in names]
    return _profiled(runs)


def _profiled(runs: xr.Dataset) -> list[Finding]:
    sample, note = _sample(runs)
    if sample.sizes["row"] == 0:
        reason = "epochs vary between languages, but in none of them from one final checkpoint to another"
        return [Finding(name, "weak", reason) for name in ("lam", "R_N")]
    problem = _Profile(sample)
    if problem.rows <= problem.unknowns:
        reason = f"{problem.rows} final checkpoints are too few for a profile with {problem.unknowns} unknowns"
        return [Finding(name, "weak", reason) for name in ("lam", "R_N")]
    return [
        _profile_finding("lam", "R_D* = 1 / lam", *problem.drop(_Profile.R_D), note),
        _profile_finding("R_N", "R_N*", *problem.drop(_Profile.R_N), note),
    ]


def _sample(runs: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Rows for the profile, and a sentence on which they are: few enough to be quick, and always the same."""
    scratch = runs.isel(row=runs["init"].to_numpy() == SCRATCH)
    runs = scratch if scratch.sizes["row"] else runs
    frame = runs[["tokens", "unique", "run", "language"]].to_dataframe().reset_index(drop=True)
    frame["epochs"] = np.maximum(frame["tokens"] / frame["unique"], 1.0)
    final = frame.loc[frame.groupby(["run", "language"], sort=False)["tokens"].idxmax()]
    by_language = final.groupby("language")["epochs"].agg(variety=lambda epochs: np.ptp(np.log(epochs)), rows="size")
    varied = by_language[by_language["variety"] > np.log(SAME_EPOCHS)]
    ranked = varied.assign(name=varied.index).sort_values(["rows", "variety", "name"], ascending=[False, False, True])
    used = final[final["language"].isin(ranked.index[:PROFILE_LANGUAGES])]
    used = used.sort_values(["language", "epochs", "tokens"], kind="stable")
    used = used.iloc[np.unique(np.linspace(0, len(used) - 1, min(PROFILE_ROWS, len(used))).astype(int))]
    kind = "final checkpoints" + (" of runs from scratch" if scratch.sizes["row"] else "")
    return runs.isel(row=used.index.to_numpy()), (
        f"profile on {len(used)} of {len(final)} {kind}, own tokens only, "
        f"{used['language'].nunique()} of {len(by_language)} languages"
    )


class _Profile:
    """Profile likelihood of the data-constrained law: exponents, R_D* and R_N* shared, E, A and B by language.

    Student-t noise on log loss, its scale held at the best fit. Unknowns are logarithms: alpha, beta, R_D*, R_N*, then
    E, A and B of each language, with sizes divided by their geometric means.
    """

    R_D, R_N, SHARED = 2, 3, 4

    def __init__(self, runs: xr.Dataset) -> None:
        names, self._language = np.unique(runs["language"].to_numpy(), return_inverse=True)
        params, tokens = runs["params"].to_numpy(), runs["tokens"].to_numpy()
        self._log_loss = np.log(runs["loss"].to_numpy())
        reference = np.exp(np.log(tokens).mean())
        self._params = params / np.exp(np.log(params).mean())
        self._tokens, self._unique = tokens / reference, runs["unique"].to_numpy() / reference
        self.rows, self.unknowns = len(tokens), self.SHARED + 3 * len(names)

        level = np.bincount(self._language, self._log_loss) / np.bincount(self._language)
        constants = np.stack([level - 0.5, level - 1.5, level - 1.5])
        ratios = (np.log([0.02, 0.02, R_GRID[0], R_GRID[0]]), np.log([3.0, 3.0, R_GRID[-1], R_GRID[-1]]))
        self._lower = np.concatenate([ratios[0], (constants - 10).ravel()])
        self._upper = np.concatenate([ratios[1], (constants + 6).ravel()])
        self._start = np.concatenate([np.log([0.35, 0.35, 10.0, 10.0]), constants.ravel()])

    def drop(self, held: int) -> tuple[Floats, Floats]:
        """Values of unknown `held`, those of R_GRID and the best, and how far log likelihood falls below its maximum.

        The fall is inf at values far from the maximum.
        """
        best, scale, least = self._best
        grid = np.log(R_GRID)
        middle = int(np.searchsorted(grid, best[held]))
        fall = np.full(len(grid), np.inf)
        for outward in (range(middle, len(grid)), range(middle - 1, -1, -1)):
            unknowns, lowest = best, least
            for i in outward:
                unknowns, fall[i] = self._fit(unknowns, scale, held=held, value=float(grid[i]))
                lowest = min(lowest, fall[i])
                if fall[i] > lowest + FAR * LIKELIHOOD_DROP:
                    break
        values, fall = np.insert(grid, middle, best[held]), np.insert(fall, middle, least)
        return np.exp(values), fall - fall.min()

    @cached_property
    def _best(self) -> tuple[Floats, float, float]:
        """Unknowns, scale and minus log likelihood at the latter's maximum."""
        unknowns, scale = self._start, 0.05
        for _ in range(STEPS):
            unknowns, _ = self._fit(unknowns, scale)
            scale = self._scale(unknowns, scale)
        unknowns, least = self._fit(unknowns, scale)
        return unknowns, scale, least

    def _scale(self, unknowns: Floats, scale: float) -> float:
        """Scale of the noise with the likelihood's weights, for as many degrees of freedom as are left."""
        residuals = self._residuals(unknowns)
        for _ in range(STEPS):
            weights = (TAIL + 1) / (TAIL + (residuals / scale) ** 2)
            scale = float(np.sqrt(np.sum(weights * residuals**2) / (self.rows - self.unknowns)))
            scale = max(scale, LEAST_SCALE)
        return scale

    def _fit(self, start: Floats, scale: float, held: int | None = None, value: float = 0.0) -> tuple[Floats, float]:
        """Unknowns of greatest likelihood, one of them held, and minus their log likelihood."""
        free = np.arange(self.unknowns) != (-1 if held is None else held)
        unknowns = np.where(free, start, value)

        def residuals(values: Floats) -> Floats:
            unknowns[free] = values
            return self._residuals(unknowns)

        bounds = self._lower[free], self._upper[free]
        options: Any = {"loss": _student, "f_scale": scale, "ftol": PRECISION, "xtol": PRECISION}
        result = least_squares(residuals, unknowns[free], bounds=bounds, **options)
        unknowns[free] = result.x
        return unknowns, float(result.cost / scale**2)

    def _residuals(self, unknowns: Floats) -> Floats:
        alpha, beta, R_D, R_N = np.exp(unknowns[: self.SHARED])
        E, A, B = np.exp(unknowns[self.SHARED :]).reshape(3, -1)[:, self._language]
        loss = data_constrained.loss(
            self._params, self._tokens, self._unique, E=E, A=A, B=B, alpha=alpha, beta=beta, R_D=R_D, R_N=R_N
        )
        return np.log(loss) - self._log_loss


def _student(
    squares: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Twice minus the log density of Student's t, with its two derivatives, at squared standardised residuals."""
    weight = (TAIL + 1) / (TAIL + squares)
    return np.stack([(TAIL + 1) * np.log1p(squares / TAIL), weight, -weight / (TAIL + squares)])


def _profile_finding(name: str, symbol: str, values: Floats, drop: Floats, note: str) -> Finding:
    lower, upper = _allowed(values, drop)
    best = f"best near {values[np.argmin(drop)]:.2g}; {note}"
    tried = f"{R_GRID[0]:g} to {R_GRID[-1]:g} tried"
    if lower is None and upper is None:
        return Finding(name, "no", f"the data allow any {symbol} ({tried}; {note})")
    if upper is None:
        return Finding(
            name, "weak", f"the data allow {symbol} from {lower:.2g} upwards without limit ({tried}; {best})"
        )
    if lower is None:
        return Finding(
            name, "weak", f"the data allow {symbol} from {upper:.2g} downwards without limit ({tried}; {best})"
        )
    status: Status = "weak" if upper > WIDE * lower else "yes"
    return Finding(name, status, f"the data allow {symbol} from {lower:.3g} to {upper:.3g} ({best})")


def _allowed(values: Floats, drop: Floats) -> tuple[float | None, float | None]:
    """Least and greatest value within LIKELIHOOD_DROP; None where the first or last of `values` is within it.

    Between values the root of the fall is interpolated, which is linear in their logarithm near a maximum.
    """
    within = np.flatnonzero(drop <= LIKELIHOOD_DROP)
    root, log_values = np.sqrt(drop), np.log(values)

    def crossing(inside: int, outside: int) -> float | None:
        if not 0 <= outside < len(values):
            return None
        fraction = (np.sqrt(LIKELIHOOD_DROP) - root[inside]) / (root[outside] - root[inside])
        return float(np.exp(log_values[inside] + fraction * (log_values[outside] - log_values[inside])))

    return crossing(within[0], within[0] - 1), crossing(within[-1], within[-1] + 1)
