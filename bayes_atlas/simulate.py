"""The ATLAS paper's 774 training runs with a known truth (Longpre et al. 2025, arXiv 2510.22037, Tables B.1, B.2, B.5).

The runs follow the ATLAS law exactly, plus noise on log loss. Where the paper is silent or contradicts itself:

* Runs. Eleven sizes are listed for groups that are counted as ten: monolingual and bilingual runs leave out scale 34,
  which has groups of its own, capacity runs scale 0. Of 48 or 50 evaluation languages it is the 50 of mixture 50v0. The
  90 bilingual runs of scale 34 are 45 pairs at two budgets; the 15 pairs at other scales are English with the nine
  other languages of those pairs and Swahili, and the five printed. Unimax trains on 1T tokens at every size.
* Budgets. 30,000 to 100,000 steps, log-uniform by run, of 2048-token sequences; losses at 25, 50, 75 and 100 %.
* Unique tokens. Six are printed. Languages whose printed Unimax share is small have them in proportion to it (Swahili:
  .719 % and 770M); others have 200G, 80G, 40G, 15G or 1G by the smallest of the mixtures 12v0, 16v0, 24v0, 32v0 and
  50v0 that they are in. Unimax shares that are not printed are 1.42 % or, for small languages, again in proportion.
  Its 370 languages without evaluation are one source, ``rest``, of 500G unique tokens.
* E, A, B, alpha = beta. Table C.1 on monolingual data, E = 0.00 taken as .004. Other languages are drawn around the
  rows of their vocabulary, with half their spread: log-normal E (from those > 0), and jointly log-normal the two
  reducible losses at 1G parameters and 20G tokens and the exponent.
* lam, tau. lam is log-normal around .2 (sd .4), by language, and holds for the language's sources too. tau of the 3
  most co-sampled sources is .75 BTS / (2 - BTS) with an error of sd .02, or normal around .05 (sd .08) where no score
  is printed, clipped to [-.1, .3]. tau_other is log-normal around .015 (sd .5): with 420 languages a negative constant
  would leave no data at all. A language's negative tau are scaled down together until D_eff is nowhere below half of
  what its own tokens are worth, so that the law's guard is never active.
* Noise. A run has an effect on each language's log loss, Student-t with 5 degrees of freedom and sd .003; a checkpoint
  adds a normal one of sd .002 (tokens of the last checkpoint / of this one)^.5.
* Finetunes follow (E + excess) + A / N^alpha + B / (D_0 + S_lam(D; U))^beta. The head start D_0 is h D_c, with D_c the
  crossover tokens of the rule c N^1.65 (c from the eight printed points, else log-normal around the rule's, sd .3),
  and h is log-normal around .3 (sd .3). The excess, B / D_c^beta - B / (D_0 + D_c)^beta, makes the curves cross at D_c;
  languages with too little data for D_c effective tokens never cross.

By the capacity law instead (§5 of the paper) are those runs that it is about: from scratch, in the multilingual
vocabulary, K languages evenly sampled, K from 1 to 50. The paper fits it to eight languages that it does not name; here
they are those of mixture 8v0. Nothing repeats, as in that law. Its four exponents are the pooled ones, the same for
every language: phi = .11 and psi = -.04 as printed, alpha and beta from the printed phi / alpha and psi / beta. E, A
and B, which are not published, are log-normal around .6, .1 and .3 (sd .2) at 1G parameters and 20G tokens. Noise is as
above, times four: this law leaves an R2 of .87 and more, where the ATLAS law leaves .98.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.errors import InputError
from bayes_atlas.laws import atlas, capacity, crossover_rule, repetition
from bayes_atlas.posterior import source_of
from bayes_atlas.runs import co_sampled_sources
from bayes_atlas.tables import load_table

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]

SCHEMA = 1

# Languages and scales of the groups of runs (Table B.1).
MONOLINGUAL = ("en", "fr", "ru", "zh", "hi", "sw", "yo")
PAIRED = ("en", "ru", "es", "fr", "de", "pt", "zh", "vi", "ja", "hi")
PAIRS_BY_SCALE = (
    *(("en", other) for other in (*PAIRED[1:], "sw")),
    *(("es", "pt"), ("fr", "zh"), ("hi", "ru"), ("de", "ja"), ("hi", "vi")),
)
ALL_SCALES = (0, 1, 2, 4, 6, 8, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 42, 46)
PAIR_SCALE = 34
OTHER_SCALES = (0, 4, 8, 12, 16, 20, 24, 28, 42, 46)
CAPACITY_SCALES = (4, 8, 12, 16, 20, 24, 28, 34, 42, 46)
FINETUNE_SCALES = (0, 8, 16, 24, 34, 42, 46)

# Training (Table B.2).
SEQUENCE = 2048
BATCHES = ((150e6, 256), (1e9, 512), (2e9, 1024), (np.inf, 2048))  # sequences a step, below so many parameters
STEPS = (30_000, 100_000)
CHECKPOINTS = np.array([0.25, 0.5, 0.75, 1.0])

# Unimax: shares of the tokens, and the languages that are not evaluated.
UNIMAX_TOKENS = 1e12
UNIMAX_LANGUAGES = 420
UNIMAX_SHARES = {"en": 0.05, "bn": 0.0134, "ur": 0.00819, "sw": 0.00719, "gu": 0.00643, "cy": 0.00514, "ps": 0.00252}
UNIMAX_SHARES |= {"yo": 0.0006}
UNIMAX_UNIFORM = 0.0142
REST = "rest"
UNIQUE_BY_MIXTURE = {"12v0": 200e9, "16v0": 80e9, "24v0": 40e9, "32v0": 15e9, "50v0": 1e9}
UNIQUE_REST = 500e9

# Truth.
NAMED_SOURCES = 3
LOG_PARAMS, LOG_TOKENS = np.log([1e9, 2e10])  # where drawn reducible losses are stated
SPREAD = 0.5  # of drawn curves, in standard deviations of the printed ones
PRINTED_AS_ZERO = 0.004
LAM, LAM_SD = 0.2, 0.4
TAU_PER_BTS, TAU_ERROR, TAU_RANGE = 0.75, 0.02, (-0.1, 0.3)
TAU_UNPRINTED, TAU_UNPRINTED_SD = 0.05, 0.08
TAU_OTHER, TAU_OTHER_SD = 0.015, 0.5
LEAST_RATIO = 0.5  # of D_eff to what a language's own tokens are worth
NOISE = {"run_sd": 0.003, "run_degrees_of_freedom": 5, "checkpoint_sd": 0.002, "checkpoint_exponent": 0.5}
CROSSOVER_SD = 0.3
HEAD_START, HEAD_START_SD = 0.3, 0.3

# Truth by the capacity law.
CAPACITY_LANGUAGES = "8v0"
CAPACITY_LOSSES, CAPACITY_SD = (0.6, 0.1, 0.3), 0.2  # E, A and B at the reference
CAPACITY_NOISE = 4.0  # times NOISE
CAPACITY = {"alpha": 0.11 / 0.243, "beta": 0.04 / (1 - 0.728), "phi": 0.11, "psi": -0.04}


@dataclass(frozen=True)
class Simulation:
    """Simulated runs and what they were simulated from."""

    runs: pd.DataFrame  # the run table
    truth: dict[str, Any]  # parameters by ``language:vocabulary`` in raw units, noise, finetuning; plain JSON values


def simulate(seed: int) -> Simulation:
    """Simulate the paper's runs, about 14,000 rows; the same `seed` gives the same table.

    Raises:
        InputError: `seed` is negative.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}; it must be a whole number of at least 0, such as 0")
    rng = np.random.default_rng(seed)
    rows = _Rows.of(_plan(), rng)
    truth = _draw_truth(rows, rng)
    loss = _expected_loss(rows, truth) * np.exp(_noise(rows, rng))
    return Simulation(rows.table(loss), {"schema": SCHEMA, "seed": seed, "law": "atlas"} | truth.as_json(rows))


def simulate_capacity(seed: int) -> Simulation:
    """Simulate by the capacity law the paper's runs that it is about: 4,648 rows of eight languages.

    Raises:
        InputError: `seed` is negative.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}; it must be a whole number of at least 0, such as 0")
    rng = np.random.default_rng(seed)
    mixtures = _mixtures()
    evaluated = mixtures[CAPACITY_LANGUAGES]
    plan = [run for run in _plan() if run.vocabulary == "multilingual" and run.init == "scratch"]
    rows = _Rows.of([run for run in plan if run.mixture != "unimax" and not set(run.shares).isdisjoint(evaluated)], rng)
    languages = np.array([run.languages for run in rows.runs], dtype=np.float64)[rows.run]
    truth = {name: _draw_capacity(rng) for name in evaluated}
    of_row = [truth.get(name, CAPACITY | dict.fromkeys("EAB", np.nan)) for name in rows.language.tolist()]
    parameters = {name: np.array([drawn[name] for drawn in of_row]) for name in capacity.PARAMETERS}
    expected = capacity.loss(rows.params, rows.own_tokens, languages, **parameters)
    loss = expected * np.exp(CAPACITY_NOISE * _noise(rows, rng))
    table = rows.table(loss).loc[np.isfinite(loss)].reset_index(drop=True)
    runs = table.drop(columns=[name for name in table if name.startswith("unique")])
    noise = {name: CAPACITY_NOISE * value if name.endswith("_sd") else value for name, value in NOISE.items()}
    return Simulation(
        runs.loc[:, (runs != 0).any()],
        {"schema": SCHEMA, "seed": seed, "law": "capacity", "languages": truth, "noise": noise},
    )


def _draw_capacity(rng: np.random.Generator) -> dict[str, float]:
    E, size, data = (np.array(CAPACITY_LOSSES) * _log_normal(rng, 1.0, CAPACITY_SD, 3)).tolist()
    A, B = size * np.exp(CAPACITY["alpha"] * LOG_PARAMS), data * np.exp(CAPACITY["beta"] * LOG_TOKENS)
    return {"E": E, "A": float(A), "B": float(B)} | CAPACITY


SIMULATIONS: dict[str, Callable[[int], Simulation]] = {"atlas": simulate, "capacity": simulate_capacity}  # by law


def write_simulation(path: str | Path, seed: int, law: str = "atlas") -> Simulation:
    """Simulate and write the run table to `path` (CSV or Parquet) and the truth beside it, with suffix ``.truth.json``.

    Raises:
        InputError: `path` has another suffix, `seed` is negative, or no simulation follows `law`.
        OSError: the files cannot be written.
    """
    if law not in SIMULATIONS:
        raise InputError(f"no simulation follows the law {law!r}; choose one of: {', '.join(SIMULATIONS)}")
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq"):
        raise InputError(f"cannot write a run table to {path.name!r}; end its name in .csv, .parquet or .pq")
    simulation = SIMULATIONS[law](seed)
    if suffix == ".csv":
        simulation.runs.to_csv(path, index=False, lineterminator="\n")
    else:
        simulation.runs.to_parquet(path, index=False)
    path.with_suffix(".truth.json").write_text(json.dumps(simulation.truth, indent=1) + "\n", encoding="utf-8")
    return simulation


# The design


@dataclass(frozen=True)
class _Run:
    mixture: str
    vocabulary: str
    init: str
    scale: int
    shares: Mapping[str, float]  # of the tokens, by source
    languages: int


def _plan() -> list[_Run]:
    """The 774 runs, in the order of Table B.1."""
    mixtures = _mixtures()
    evaluated = mixtures["50v0"]
    unimax = _unimax_shares(evaluated)
    crossing = tuple(dict.fromkeys(MONOLINGUAL + PAIRED))
    return [
        *(_even(_mono(name), [name], scale, "monolingual") for name in MONOLINGUAL for scale in ALL_SCALES),
        *(_Run("unimax", "multilingual", "scratch", scale, unimax, UNIMAX_LANGUAGES) for scale in ALL_SCALES),
        *(_even(_mono(name), [name], scale) for name in MONOLINGUAL for scale in OTHER_SCALES),
        *(_even(_mono(name), [name], PAIR_SCALE) for name in evaluated),
        *(_even(_pair(pair), pair, PAIR_SCALE) for pair in combinations(PAIRED, 2) for _ in range(2)),
        *(_even(_pair(pair), pair, scale) for pair in PAIRS_BY_SCALE for scale in OTHER_SCALES),
        *(_even(name, members, scale) for name, members in mixtures.items() for scale in CAPACITY_SCALES),
        *(_even(_mono(name), [name], PAIR_SCALE, init="unimax") for name in evaluated),
        *(_even(_mono(name), [name], scale, init="unimax") for name in crossing for scale in FINETUNE_SCALES),
    ]


def _even(
    mixture: str, languages: Sequence[str], scale: int, vocabulary: str = "multilingual", init: str = "scratch"
) -> _Run:
    shares = dict.fromkeys(languages, 1 / len(languages))
    return _Run(mixture, vocabulary, init, scale, shares, len(languages))


def _mono(language: str) -> str:
    return f"mono:{language}"


def _pair(languages: Sequence[str]) -> str:
    return f"pair:{'-'.join(sorted(languages))}"


def _mixtures() -> dict[str, list[str]]:
    table = load_table("mixtures_table_b5")
    return dict(zip(table["mixture"], table["languages"].str.split(), strict=True))


def _unique_tokens() -> dict[str, float]:
    """Unique tokens of every source."""
    table = load_table("unique_tokens").set_index("language")["unique_tokens"]
    printed = {str(name): float(value) for name, value in table.items()}
    mixtures = _mixtures()
    unique = {REST: UNIQUE_REST}
    for name, size in reversed(UNIQUE_BY_MIXTURE.items()):
        unique |= dict.fromkeys(mixtures[name], size)
    unique |= {name: printed["sw"] * share / UNIMAX_SHARES["sw"] for name, share in UNIMAX_SHARES.items()}
    return unique | printed


def _unimax_shares(evaluated: Sequence[str]) -> dict[str, float]:
    unique = _unique_tokens()
    per_token = UNIMAX_SHARES["sw"] / unique["sw"]
    shares = {name: UNIMAX_SHARES.get(name, min(UNIMAX_UNIFORM, per_token * unique[name])) for name in evaluated}
    return shares | {REST: 1 - sum(shares.values())}


@dataclass(frozen=True)
class _Rows:
    """The design with its budgets, one entry per row of the table."""

    runs: Sequence[_Run]
    run: Integers  # (row,) index of the run
    curve: Integers  # (row,) index of the run and language
    checkpoint: Floats  # (row,) share of the run's budget
    language: NDArray[np.str_]  # (row,)
    groups: list[str]  # "language:vocabulary"
    group: Integers  # (row,) index into `groups`
    scratch: NDArray[np.bool_]  # (row,)
    params: Floats  # (row,)
    sources: list[str]
    own: Integers  # (row,) index into `sources`
    tokens: Floats  # (row, source)
    unique: Floats  # (source,)

    @classmethod
    def of(cls, runs: Sequence[_Run], rng: np.random.Generator) -> "_Rows":
        evaluated = set(_mixtures()["50v0"])
        trained = {name for run in runs for name in run.shares} - {REST}
        sources = [*sorted(evaluated), *sorted(trained - evaluated), REST]
        position = {name: index for index, name in enumerate(sources)}
        params_of = load_table("model_sizes").set_index("scale")["params"]
        params = params_of.loc[[run.scale for run in runs]].to_numpy(dtype=np.float64)

        shares = np.zeros((len(runs), len(sources)))
        for index, run in enumerate(runs):
            shares[index, [position[name] for name in run.shares]] = list(run.shares.values())
        budget = np.where([run.mixture == "unimax" for run in runs], UNIMAX_TOKENS, _budgets(params, rng))

        curves = [(index, name) for index, run in enumerate(runs) for name in run.shares if name in evaluated]
        curve = np.repeat(np.arange(len(curves)), len(CHECKPOINTS))
        checkpoint = np.tile(CHECKPOINTS, len(curves))
        run_of = np.array([index for index, _ in curves])[curve]
        label = [f"{name}:{runs[index].vocabulary}" for index, name in curves]
        groups, group = np.unique(label, return_inverse=True)
        unique = _unique_tokens()
        return cls(
            runs=runs,
            run=run_of,
            curve=curve,
            checkpoint=checkpoint,
            language=np.array([name for _, name in curves])[curve],
            groups=groups.tolist(),
            group=group[curve],
            scratch=np.array([run.init == "scratch" for run in runs])[run_of],
            params=params[run_of],
            sources=sources,
            own=np.array([position[name] for _, name in curves])[curve],
            tokens=np.rint(shares[run_of] * (budget[run_of] * checkpoint)[:, None]),
            unique=np.rint([unique[name] for name in sources]),
        )

    @property
    def own_tokens(self) -> Floats:
        return self.tokens[np.arange(len(self.own)), self.own]

    @property
    def own_unique(self) -> Floats:
        return self.unique[self.own]

    def table(self, loss: Floats) -> pd.DataFrame:
        """The run table; unique tokens of a source are given where a run trains on it."""
        ids = [f"{index:03d}-{run.mixture.replace(':', '-')}-s{run.scale}" for index, run in enumerate(self.runs)]
        per_run = {
            "languages": [run.languages for run in self.runs],
            "init": [run.init for run in self.runs],
            "vocabulary": [run.vocabulary for run in self.runs],
            "mixture": [run.mixture for run in self.runs],
        }
        columns: dict[str, Any] = {
            "run": np.array(ids)[self.run],
            "language": self.language,
            "params": self.params.astype(np.int64),
            "loss": loss.round(6),
            "tokens": self.own_tokens.astype(np.int64),
            "unique": self.own_unique.astype(np.int64),
        }
        columns |= {name: np.array(values)[self.run] for name, values in per_run.items()}
        columns |= {f"tokens.{name}": self.tokens[:, i].astype(np.int64) for i, name in enumerate(self.sources)}
        for index, name in enumerate(self.sources):
            unique = np.full(len(self.own), int(self.unique[index]))
            columns[f"unique.{name}"] = pd.arrays.IntegerArray(unique, mask=self.tokens[:, index] == 0)
        return pd.DataFrame(columns)


def _budgets(params: Floats, rng: np.random.Generator) -> Floats:
    """Training tokens of every run: whole thousands of steps."""
    least, most = np.log(STEPS)
    steps = np.rint(np.exp(rng.uniform(least, most, len(params))) / 1000) * 1000
    bounds, batches = np.array(BATCHES).T
    return steps * batches[np.searchsorted(bounds, params, side="right")] * SEQUENCE


# The truth


@dataclass(frozen=True)
class _Truth:
    """Parameters of every group; arrays ``(group,)``, `tau` and `chosen` ``(group, named source)``."""

    E: Floats
    A: Floats
    B: Floats
    exponent: Floats
    lam: Floats
    tau: Floats
    tau_other: Floats
    chosen: Integers  # index of the named source, -1 where a group has fewer
    c: Floats
    head_start: Floats

    def as_json(self, rows: _Rows) -> dict[str, Any]:
        languages, finetunes = {}, {}
        finetuned = set(rows.group[~rows.scratch].tolist())
        for index, group in enumerate(rows.groups):
            named = [(rows.sources[source], slot) for slot, source in enumerate(self.chosen[index]) if source >= 0]
            languages[group] = {
                "E": float(self.E[index]),
                "A": float(self.A[index]),
                "B": float(self.B[index]),
                "alpha": float(self.exponent[index]),
                "beta": float(self.exponent[index]),
                "lam": float(self.lam[index]),
                "tau": {name: float(self.tau[index, slot]) for name, slot in named},
                "tau_other": float(self.tau_other[index]),
            }
            if index in finetuned:
                finetunes[group] = {"c": float(self.c[index]), "head_start": float(self.head_start[index])}
        finetune = {"gamma": crossover_rule.PRINTED_TEXT["gamma"], "languages": finetunes}
        return {"languages": languages, "noise": dict(NOISE), "finetune": finetune}


def _draw_truth(rows: _Rows, rng: np.random.Generator) -> _Truth:
    names = [source_of(group) for group in rows.groups]
    E, A, B, exponent = _draw_curves(rows.groups, rng)
    languages, language = np.unique(names, return_inverse=True)
    lam = _log_normal(rng, LAM, LAM_SD, len(languages))[language]
    chosen = _named_sources(rows)
    tau = _draw_tau(names, rows.sources, chosen, rng)
    tau_other = np.where(
        [group.endswith(":multilingual") for group in rows.groups],
        _log_normal(rng, TAU_OTHER, TAU_OTHER_SD, len(names)),
        0.0,
    )
    return _Truth(
        E=E,
        A=A,
        B=B,
        exponent=exponent,
        lam=lam,
        tau=_bearable(rows, chosen, tau, tau_other, lam),
        tau_other=tau_other,
        chosen=chosen,
        c=_crossover_constants(names, rng),
        head_start=_log_normal(rng, HEAD_START, HEAD_START_SD, len(names)),
    )


def _draw_curves(groups: Sequence[str], rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """E, A, B and alpha = beta of every group: printed, or drawn from a population around the printed ones."""
    fits = load_table("fits_table_c1")
    curves: dict[str, tuple[float, float, float, float]] = {}
    for vocabulary in ("monolingual", "multilingual"):
        printed = fits[fits["regime"] == f"{vocabulary} vocabulary, monolingual data"]
        E, exponent = printed["E"].to_numpy(), printed["alpha_equals_beta"].to_numpy()
        log_A, log_B = printed["log_A"].to_numpy(), printed["log_B"].to_numpy()
        members = [group for group in groups if group.endswith(f":{vocabulary}")]

        log_E = np.log(E[E > 0])
        drawn_E = np.exp(rng.normal(log_E.mean(), SPREAD * log_E.std(ddof=1), len(members)))
        at_reference = np.stack([log_A - exponent * LOG_PARAMS, log_B - exponent * LOG_TOKENS, np.log(exponent)])
        covariance = SPREAD**2 * np.cov(at_reference)
        size, data, log_exponent = rng.multivariate_normal(
            at_reference.mean(axis=1), covariance, len(members), method="cholesky"
        ).T
        drawn = np.exp(log_exponent)
        A, B = np.exp(size + drawn * LOG_PARAMS), np.exp(data + drawn * LOG_TOKENS)
        curves |= dict(zip(members, zip(drawn_E, A, B, drawn, strict=True), strict=True))

        labels = printed["language"] + f":{vocabulary}"
        curves |= dict(
            zip(labels, zip(E.clip(PRINTED_AS_ZERO), np.exp(log_A), np.exp(log_B), exponent, strict=True), strict=True)
        )
    E, A, B, exponent = np.array([curves[group] for group in groups]).T
    return E, A, B, exponent


def _named_sources(rows: _Rows) -> Integers:
    """The most co-sampled sources of every group in the runs from scratch: index of the source, -1 for none."""
    last = rows.scratch & (rows.checkpoint == 1)
    runs = xr.Dataset(
        {"source_tokens": (("row", "source"), rows.tokens[last])},
        coords={
            "language": ("row", np.array(rows.groups)[rows.group[last]]),
            "own": ("row", rows.language[last]),
            "run": ("row", rows.run[last]),
            "source": rows.sources,
        },
    )
    position = {name: index for index, name in enumerate(rows.sources)} | {"": -1}
    named = co_sampled_sources(runs, NAMED_SOURCES).sel(language=rows.groups).to_numpy()
    return np.vectorize(position.__getitem__, otypes=[np.int64])(named)


def _draw_tau(names: Sequence[str], sources: Sequence[str], chosen: Integers, rng: np.random.Generator) -> Floats:
    scores = load_table("transfer_bts38").reindex(index=pd.Index(names), columns=pd.Index(sources)).to_numpy()
    printed = np.take_along_axis(scores, chosen.clip(0), axis=1)
    from_score = rng.normal(TAU_PER_BTS * atlas.tau_from_bts(printed), TAU_ERROR)
    unprinted = rng.normal(TAU_UNPRINTED, TAU_UNPRINTED_SD, chosen.shape)
    tau = np.where(np.isnan(printed), unprinted, from_score).clip(*TAU_RANGE)
    return np.where(chosen >= 0, tau, 0.0)


def _bearable(rows: _Rows, chosen: Integers, tau: Floats, tau_other: Floats, lam: Floats) -> Floats:
    """`tau` with a group's negative values scaled so that D_eff is at least LEAST_RATIO of the own tokens' worth."""
    covariates, decay = _sources(rows, chosen), lam[rows.group]
    own = repetition.effective_tokens(rows.own_tokens, rows.own_unique, decay)
    named = repetition.effective_tokens(covariates["source_tokens"], covariates["source_unique"], decay[:, None])
    other = repetition.effective_tokens(covariates["other_tokens"], covariates["other_unique"], decay)
    gain = (tau.clip(0)[rows.group] * named).sum(axis=1) + tau_other[rows.group] * other
    harm = (-tau.clip(None, 0)[rows.group] * named).sum(axis=1)
    bearable = np.divide((1 - LEAST_RATIO) * own + gain, harm, out=np.ones_like(own), where=harm > 0)
    factor = np.ones(len(tau))
    np.minimum.at(factor, rows.group, bearable)
    return np.where(tau < 0, tau * factor[:, None], tau)


def _crossover_constants(names: Sequence[str], rng: np.random.Generator) -> Floats:
    """c of the rule c N^gamma for every group: from the printed crossover of its language, or drawn around the rule."""
    table = load_table("crossover_tokens_2b").set_index("language")
    gamma = crossover_rule.PRINTED_TEXT["gamma"]
    printed = 6 * table["params"] * table["crossover_tokens"] / table["params"] ** gamma
    drawn = _log_normal(rng, crossover_rule.PRINTED_TEXT["c"], CROSSOVER_SD, len(names))
    constants = printed.reindex(pd.Index(names)).to_numpy()
    return np.where(np.isnan(constants), drawn, constants)


def _log_normal(rng: np.random.Generator, median: float, sd: float, count: int) -> Floats:
    return median * np.exp(rng.normal(0.0, sd, count))


# The losses


def _sources(rows: _Rows, chosen: Integers) -> dict[str, Floats]:
    """Tokens and unique tokens of each row's named sources ``(row, slot)`` and of its other sources together."""
    named = chosen[rows.group]
    present, slot = named >= 0, named.clip(0)
    source_tokens = np.where(present, np.take_along_axis(rows.tokens, slot, axis=1), 0.0)
    other = rows.tokens > 0
    line = np.arange(len(named))
    for column in range(named.shape[1]):
        other[line[present[:, column]], slot[present[:, column], column]] = False
    other[line, rows.own] = False
    return {
        "source_tokens": source_tokens,
        "source_unique": rows.unique[slot],
        "other_tokens": np.where(other, rows.tokens, 0.0).sum(axis=1),
        "other_unique": np.where(other.any(axis=1), np.where(other, rows.unique, 0.0).sum(axis=1), np.inf),
    }


def _expected_loss(rows: _Rows, truth: _Truth) -> Floats:
    of_row = rows.group
    E, A, B = truth.E[of_row], truth.A[of_row], truth.B[of_row]
    exponent, lam = truth.exponent[of_row], truth.lam[of_row]
    scratch = atlas.loss(
        rows.params,
        rows.own_tokens,
        rows.own_unique,
        E=E,
        A=A,
        B=B,
        alpha=exponent,
        beta=exponent,
        lam=lam,
        tau=truth.tau[of_row],
        tau_other=truth.tau_other[of_row],
        **_sources(rows, truth.chosen),
    )
    gamma = crossover_rule.PRINTED_TEXT["gamma"]
    crossing = crossover_rule.crossover_tokens(rows.params, c=truth.c[of_row], gamma=gamma)
    ahead = truth.head_start[of_row] * crossing
    excess = B * crossing**-exponent - B * (ahead + crossing) ** -exponent
    own = repetition.effective_tokens(rows.own_tokens, rows.own_unique, lam)
    finetuned = E + excess + A * rows.params**-exponent + B * (ahead + own) ** -exponent
    return np.where(rows.scratch, scratch, finetuned)


def _noise(rows: _Rows, rng: np.random.Generator) -> Floats:
    """Deviations of log loss."""
    degrees = NOISE["run_degrees_of_freedom"]
    unit = np.sqrt((degrees - 2) / degrees)  # scale of a Student-t of sd 1
    of_curve = NOISE["run_sd"] * unit * rng.standard_t(degrees, rows.curve[-1] + 1)
    early = rows.checkpoint ** -NOISE["checkpoint_exponent"]
    return of_curve[rows.curve] + NOISE["checkpoint_sd"] * early * rng.standard_normal(len(rows.curve))
