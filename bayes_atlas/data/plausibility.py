"""Tests of a run table that follows the format and yet may not say what its author means.

Each test is one function from the run table (`bayes_atlas.data.runs`) to its doubts. Tests in `REFUSED` find what
cannot be meant: `read_runs` raises their doubts as errors. Tests in `DOUBTED` find what can be meant but rarely is:
`check` and `fit` print their doubts as warnings. To add a test, write a function and name it in one of the two.

Rules for single cells are in `bayes_atlas.data.runs`, and rules for names in `bayes_atlas.data.names`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares

from bayes_atlas.arrays import Flags, Floats
from bayes_atlas.data.faults import SHOWN
from bayes_atlas.data.size_groups import SAME_SIZE
from bayes_atlas.data.text import number, plural
from bayes_atlas.laws import TRAINING_FLOPS

# Bounds within which products of two sizes stay finite even in single precision, and far beyond any run.
MOST = 1e18  # parameters, tokens and unique tokens
COMPUTE = (1e-12, 1e40)  # in FLOPs, wide enough that compute in another unit is doubted, not refused
LOSS = (1e-6, 1e6)

GAP_REFUSED, GAP_DOUBTED = 1e5, 300.0  # factor between neighbouring sizes of a table; 60 is the most in public tables
TOKENS_PER_PARAM = (1e-3, 1e6)  # of any row; public tables have 0.027 to 7,000
MEDIAN_TOKENS_PER_PARAM = 0.1  # public tables have a median of 0.2 or more
MOST_EPOCHS = 1000.0  # public tables have at most 100
FLOPS_FACTOR = 10.0  # by which compute may differ from 6 N D: attention, sparse models and embeddings are within it
CONSTANT_ROWS = 5  # rows with one and the same loss that cannot be chance
REPEATED = 4.0  # epochs up to which more tokens reliably lower the loss (Muennighoff et al. 2023)
APART = np.log(1.5)  # least log-ratio of sizes at which a lower loss is expected
FEWEST_PAIRS = 10  # ordered pairs of rows that the trend of the loss is read from
FALLING, UNRELATED = 0.3, 0.65  # share of ordered pairs whose loss falls: below, it rises, or hardly depends on size
FEWEST_RUNS = 3  # with checkpoints, and without, that make a table of both kinds
REPLICATES = 1.05  # ratio of the losses of two equal runs; seeds differ by 1.003
FEWEST_FITTED = 12  # rows that a law of five parameters is fitted to
MOST_COMPARED = 600  # rows of a language that the trend and the law are read from, evenly spaced in the table
SCATTER = 0.05  # median relative residual of losses that follow no law; public tables have at most 0.043
STRAY = 0.15  # relative residual of a run that may be in another unit, and at least
STRAY_SCALES = 6.0  # so many standard deviations of all residuals
BITS = float(np.log(1 / np.log(2)))  # log-ratio of a loss in bits to the same in nats


@dataclass(frozen=True)
class Doubt:
    """Rows of a run table that may not say what is meant."""

    column: str
    rows: list[int]  # counted from 1
    values: list[str]  # of `column` in these rows
    rule: str
    advice: str

    def __str__(self) -> str:
        named = zip(self.rows[:SHOWN], self.values, strict=False)
        places = ", ".join(f"row {row}: {value}" for row, value in named)
        more = f" and {plural(len(self.rows) - SHOWN, 'more row')}" if len(self.rows) > SHOWN else ""
        return f"column {self.column!r}: {self.rule} ({places}{more}); {self.advice}"


type Test = Callable[[xr.Dataset], Iterator[Doubt]]


def refusals(runs: xr.Dataset) -> list[Doubt]:
    """Return what cannot be meant in `runs`: sizes out of bounds or, if there are none, all else."""
    bounds, *others = REFUSED
    return list(bounds(runs)) or list(chain.from_iterable(test(runs) for test in others))


def doubts(runs: xr.Dataset) -> list[Doubt]:
    """Return what is rarely meant in `runs`. This takes some hundredths of a second per language."""
    return list(chain.from_iterable(test(runs) for test in DOUBTED))


# What cannot be meant


def sizes_within_bounds(runs: xr.Dataset) -> Iterator[Doubt]:
    """Counts are at least 1, and no product of sizes overflows."""
    counts = f"must be at least 1 and at most {MOST:g}"
    yield from _outside(runs, "params", 1, MOST, counts, "give the number of parameters as a count, such as 1.2e9")
    tokens, sources = runs["source_tokens"].to_numpy(), runs["source"].to_numpy()
    own = runs["own"].to_numpy()
    advice = "give tokens as a count, such as 2e9; if this is a share of a mixture, multiply it by the run's tokens"
    for values, source in zip(tokens.T, sources, strict=True):
        wrong = (values > 0) & ((values < 1) | (values > MOST))
        for column, rows in (("tokens", own == source), (f"tokens.{source}", own != source)):
            yield from _doubt(column, wrong & rows, values, counts, advice)
    advice = "give unique tokens as a count, or leave it empty if no data are repeated"
    finite = np.where(np.isinf(runs["unique"].to_numpy()), MOST, runs["unique"].to_numpy())
    yield from _doubt("unique", (finite < 1) | (finite > MOST), finite, counts, advice)
    least, most = LOSS
    rule, advice = f"must be from {least:g} to {most:g}", "give the loss per token in nats or bits, or remove the row"
    yield from _outside(runs, "loss", least, most, rule, advice)
    least, most = COMPUTE
    yield from _outside(runs, "compute", least, most, f"must be from {least:g} to {most:g}", "give training FLOPs")
    yield from _outside(runs, "languages", 1, MOST, counts, "give the number of languages in training")


def tokens_are_no_shares(runs: xr.Dataset) -> Iterator[Doubt]:
    """Tokens of the sources do not sum to 1 or 100 in every row."""
    total = _total(runs)
    for whole in (1.0, 100.0):
        if runs.sizes["source"] > 1 and np.allclose(total, whole, rtol=1e-2):
            rule = f"the tokens of all sources sum to {whole:g} in every row, so they are shares"
            yield from _doubt("tokens", np.ones(len(total), bool), total, rule, "multiply shares by the run's tokens")


def one_size_per_run(runs: xr.Dataset) -> Iterator[Doubt]:
    """The checkpoints of a run on a language have one number of parameters."""
    params = runs["params"].to_numpy()
    curve = pd.Series(np.log(params)).groupby(_codes(runs, "run"))
    differs = (curve.transform("max") - curve.transform("min") > SAME_SIZE).to_numpy()
    rule = "a run has one size, but rows of this run on one language differ in it"
    named = runs["run"].to_numpy().astype(str)
    values = [f"{number(size)} in run {run}" for size, run in zip(params[differs], named[differs], strict=True)]
    advice = "give each training run a name of its own; if run holds the seed, add the size to it"
    if differs.any():
        yield Doubt("params", _rows(differs), values, rule, advice)


def no_impossible_gap(runs: xr.Dataset) -> Iterator[Doubt]:
    """Sizes of a column do not lie orders of magnitude apart."""
    yield from _gaps(runs, GAP_REFUSED, np.inf)


# What is rarely meant


def no_wide_gap(runs: xr.Dataset) -> Iterator[Doubt]:
    """Sizes of a column have no gap that a change of units would leave."""
    yield from _gaps(runs, GAP_DOUBTED, GAP_REFUSED)


def tokens_per_parameter(runs: xr.Dataset) -> Iterator[Doubt]:
    """Tokens are counted in tokens, parameters in parameters, and neither stands in the other's column."""
    ratio = _total(runs) / runs["params"].to_numpy()
    least, most = TOKENS_PER_PARAM
    advice = "check that tokens are tokens (not steps, epochs or billions) and params are parameters"
    rule = f"there are fewer than {least:g} or more than {number(most)} training tokens per parameter"
    yield from _doubt("tokens", (ratio < least) | (ratio > most), ratio, rule, advice)
    median = float(np.median(ratio))
    if least <= median < MEDIAN_TOKENS_PER_PARAM:
        rule = f"half of all rows have fewer than {MEDIAN_TOKENS_PER_PARAM:g} training tokens per parameter"
        advice = f"check that params and tokens are not swapped, and {advice.removeprefix('check ')}"
        yield from _doubt("tokens", ratio < MEDIAN_TOKENS_PER_PARAM, ratio, rule, advice)


def few_epochs(runs: xr.Dataset) -> Iterator[Doubt]:
    """Unique tokens are counted in tokens."""
    epochs = runs["tokens"].to_numpy() / runs["unique"].to_numpy()
    rule = f"the run repeats its unique tokens more than {MOST_EPOCHS:,.0f} times"
    advice = "check that unique counts tokens, not epochs, steps, documents or billions"
    yield from _doubt("unique", epochs > MOST_EPOCHS, epochs, rule, advice)


def compute_matches_size(runs: xr.Dataset) -> Iterator[Doubt]:
    """Stated compute is about 6 FLOPs per parameter and token."""
    ratio = runs["compute"].to_numpy() / (TRAINING_FLOPS * runs["params"].to_numpy() * _total(runs))
    wrong = np.abs(np.log(ratio)) > np.log(FLOPS_FACTOR)
    if wrong.any():
        rule = f"compute is {np.median(ratio[wrong]):.3g} times 6 x params x tokens of all sources"
        advice = "give FLOPs (1 exaFLOP is 1e18), or leave compute empty"
        yield Doubt("compute", _rows(wrong), _texts(runs["compute"].to_numpy()[wrong]), rule, advice)


def losses_vary(runs: xr.Dataset) -> Iterator[Doubt]:
    """Runs of different sizes do not all have the same loss."""
    loss, sizes = runs["loss"].to_numpy(), runs["params"].to_numpy() * _total(runs)
    if len(loss) >= CONSTANT_ROWS and np.ptp(loss) == 0 and sizes.max() > 2 * sizes.min():
        rule = "every row has the same loss, whatever its size and tokens"
        advice = "give the measured loss of each row; a planned design may do without"
        yield from _doubt("loss", np.ones(len(loss), bool), loss, rule, advice)


def losses_fall(runs: xr.Dataset) -> Iterator[Doubt]:
    """Within a language the loss falls with size and tokens."""
    for rows in _comparable(runs):
        params, tokens, loss = (runs[name].to_numpy()[rows] for name in ("params", "tokens", "loss"))
        larger = np.subtract.outer(np.log(params), np.log(params)), np.subtract.outer(np.log(tokens), np.log(tokens))
        ordered = (np.minimum(*larger) >= -SAME_SIZE) & (np.maximum(*larger) > APART)
        if ordered.sum() < FEWEST_PAIRS:
            continue
        falls = float((np.subtract.outer(loss, loss) < 0)[ordered].mean())
        if falls < UNRELATED:
            how = "rises with size and tokens" if falls < FALLING else "hardly depends on size and tokens"
            language = runs["language"].to_numpy()[rows[0]]
            rule = f"the loss of {language} {how}: of two runs the larger has the lower loss in {falls:.0%} of pairs"
            advice = "check that loss is a loss (not accuracy), in the rows that it belongs to"
            yield Doubt("loss", [int(row) + 1 for row in rows], _texts(loss), rule, advice)


def replicates_agree(runs: xr.Dataset) -> Iterator[Doubt]:
    """Runs of equal size, tokens and labels have almost the same loss."""
    counts = {name: runs[name].to_numpy() for name in ("params", "unique")}
    sources = {str(index): values for index, values in enumerate(runs["source_tokens"].to_numpy().T)}
    keys = pd.DataFrame({"group": _codes(runs)} | counts | sources)
    loss = pd.Series(runs["loss"].to_numpy()).groupby(keys.groupby(list(keys)).ngroup().to_numpy())
    ratio = (loss.transform("max") / loss.transform("min")).to_numpy()
    wrong = ratio > REPLICATES
    if wrong.any():
        rule = f"losses of runs of equal size and tokens differ by up to {ratio.max() - 1:.0%}; seeds differ by 0.3%"
        advice = "keep the best run of each size and tokens, or tell settings apart by a label column and --by"
        yield Doubt("loss", _rows(wrong), _texts(runs["loss"].to_numpy()[wrong]), rule, advice)


def runs_follow_a_law(runs: xr.Dataset) -> Iterator[Doubt]:
    """No run strays from a law fitted robustly to its language, as a loss in another unit does."""
    loss, names = runs["loss"].to_numpy(), runs["run"].to_numpy().astype(str)
    for rows in _comparable(runs):
        if len(rows) < FEWEST_FITTED:
            continue
        residuals = _residuals(*(np.log(runs[name].to_numpy()[rows]) for name in ("params", "tokens", "loss")))
        language, typical = runs["language"].to_numpy()[rows[0]], float(np.median(np.abs(residuals)))
        if typical > SCATTER:
            rule = f"the losses of {language} follow no law of size and tokens: half miss it by more than {typical:.0%}"
            advice = "check that losses stand in their own rows, and have one unit and one test set"
            yield Doubt("loss", [int(row) + 1 for row in rows], _texts(loss[rows]), rule, advice)
            continue
        by_run = pd.Series(residuals).groupby(names[rows]).transform("median").to_numpy()
        stray = np.abs(by_run) > max(STRAY, STRAY_SCALES * 1.4826 * typical)
        if stray.any():
            miss = float(np.median(by_run[stray]))
            in_bits = ", as bits and nats do" if abs(abs(miss) - BITS) < 0.03 else ""
            rule = f"runs of {language} differ by a factor of {np.exp(miss):.2f} from the law of the others{in_bits}"
            advice = "check unit, test set, size and tokens of these runs, and whether they failed"
            far = rows[stray]
            values = [f"{value:g} in run {run}" for value, run in zip(loss[far], names[far], strict=True)]
            yield Doubt("loss", [int(row) + 1 for row in far], values, rule, advice)


def stages_are_not_mixed(runs: xr.Dataset) -> Iterator[Doubt]:
    """Either all runs of a language have checkpoints, or all have their final row only.

    Before the learning rate has decayed, a loss is higher than that of a run that ends there.
    """
    tokens, curve, group = runs["tokens"].to_numpy(), _codes(runs, "run"), _codes(runs)
    several = pd.Series(tokens).groupby(curve).transform("nunique").to_numpy() > 1
    earlier = tokens < pd.Series(tokens).groupby(curve).transform("max").to_numpy()
    mixed, languages = np.zeros(len(tokens), bool), list[str]()
    for code in np.unique(group):
        own = group == code
        if min(len(np.unique(curve[own & rows])) for rows in (several, ~several)) >= FEWEST_RUNS:
            mixed |= own
            languages.append(str(runs["language"].to_numpy()[own][0]))
    named = dict.fromkeys(languages)
    of = ", ".join(list(named)[:SHOWN]) + (" and others" if len(named) > SHOWN else "")
    rule = (
        f"some runs of {of} have checkpoints and others only a final row: before its learning rate has decayed, a run "
        f"has a higher loss than one that ends there"
    )
    advice = "keep the last row of each run, or fit finished runs and checkpoints apart"
    yield from _doubt("tokens", mixed & earlier, tokens, rule, advice)


REFUSED: tuple[Test, ...] = (
    sizes_within_bounds,  # first: the others multiply sizes
    tokens_are_no_shares,
    one_size_per_run,
    no_impossible_gap,
)
DOUBTED: tuple[Test, ...] = (
    no_wide_gap,
    tokens_per_parameter,
    few_epochs,
    compute_matches_size,
    losses_vary,
    losses_fall,
    replicates_agree,
    runs_follow_a_law,
    stages_are_not_mixed,
)


# Parts of tests


def _outside(runs: xr.Dataset, column: str, least: float, most: float, rule: str, advice: str) -> Iterator[Doubt]:
    values = runs[column].to_numpy()
    return _doubt(column, (values < least) | (values > most), values, rule, advice)


def _doubt(column: str, wrong: Flags, values: Floats, rule: str, advice: str) -> Iterator[Doubt]:
    if wrong.any():
        yield Doubt(column, _rows(wrong), _texts(values[wrong]), rule, advice)


def _rows(wrong: Flags) -> list[int]:
    return (np.flatnonzero(wrong) + 1).tolist()


def _texts(values: Floats) -> list[str]:
    return [f"{value:.6g}" for value in values]


def _total(runs: xr.Dataset) -> Floats:
    return np.asarray(runs["source_tokens"].to_numpy().sum(axis=1))


def _codes(runs: xr.Dataset, *names: str) -> NDArray[np.int64]:
    """Return an index ``(row,)`` of the row's language, start and labels, and of the coords `names`."""
    known = [name for name in ("language", "init", "vocabulary", "mixture", *names) if name in runs.coords]
    keys = pd.DataFrame({name: runs[name].to_numpy().astype(str) for name in known})
    return np.asarray(keys.groupby(known, sort=False).ngroup(), dtype=np.int64)


def _comparable(runs: xr.Dataset) -> Iterator[NDArray[np.int64]]:
    """Yield, for each language with one start and one set of labels, up to `MOST_COMPARED` rows with few epochs."""
    few = runs["tokens"].to_numpy() / runs["unique"].to_numpy() <= REPEATED
    for rows in pd.Series(np.flatnonzero(few)).groupby(_codes(runs)[few]):
        each = rows[1].to_numpy()
        yield each[np.unique(np.linspace(0, len(each) - 1, min(len(each), MOST_COMPARED)).astype(int))]


def _gaps(runs: xr.Dataset, least: float, most: float) -> Iterator[Doubt]:
    """Yield the columns with a gap of a factor of at least `least` and less than `most` between neighbouring sizes."""
    unique = runs["unique"].to_numpy()
    for column, values in (("params", runs["params"].to_numpy()), ("tokens", _total(runs)), ("unique", unique)):
        logs = np.sort(np.log(values[np.isfinite(values)]))
        steps = np.diff(logs)
        if len(steps) == 0 or not np.log(least) <= steps.max() < np.log(most):
            continue
        below = np.log(values) <= logs[steps.argmax()]
        fewer = below if 2 * below.sum() <= np.isfinite(values).sum() else ~below & np.isfinite(values)
        rule = f"values are {np.exp(steps.max()):.2g} times smaller or larger than all others"
        yield from _doubt(column, fewer, values, rule, "give every row in the same unit, as a plain count")


def _residuals(log_params: Floats, log_tokens: Floats, log_loss: Floats) -> Floats:
    """Return the log residuals of E + A / N^alpha + B / D^beta, fitted with a loss that outliers hardly move."""
    sizes = log_params - np.median(log_params), log_tokens - np.median(log_tokens)

    def terms(theta: Floats) -> Floats:
        return np.stack([np.full_like(log_loss, theta[0]), *(theta[k] - theta[k + 2] * sizes[k - 1] for k in (1, 2))])

    def residuals(theta: Floats) -> Floats:
        return np.asarray(np.logaddexp.reduce(terms(theta)) - log_loss)

    def slopes(theta: Floats) -> Floats:
        each = terms(theta)
        irreducible, of_params, of_tokens = np.exp(each - np.logaddexp.reduce(each))
        shrinking = -of_params * sizes[0], -of_tokens * sizes[1]
        return np.stack([irreducible, of_params, of_tokens, *shrinking], axis=1)

    start = np.array([log_loss.min() - 0.3, *([np.median(log_loss) - 1.5] * 2), 0.3, 0.3])
    bounds = [-30.0] * 3 + [0.0] * 2, [30.0] * 3 + [2.0] * 2
    found = least_squares(residuals, start, slopes, bounds, loss="soft_l1", f_scale=0.02, max_nfev=60)
    return residuals(found.x)
