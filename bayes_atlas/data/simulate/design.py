"""Design of the simulated runs: their groups, mixtures, budgets and data (Tables B.1, B.2, B.5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats, Integers
from bayes_atlas.data.printed import load_table

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
BATCHES = ((150e6, 256), (1e9, 512), (2e9, 1024), (np.inf, 2048))  # upper limit of parameters, sequences per step
STEPS = (30_000, 100_000)
CHECKPOINTS = np.array([0.25, 0.5, 0.75, 1.0])
# Unimax: token shares, and the languages without evaluation.
UNIMAX_TOKENS = 1e12
UNIMAX_LANGUAGES = 420
UNIMAX_SHARES = {"en": 0.05, "bn": 0.0134, "ur": 0.00819, "sw": 0.00719, "gu": 0.00643, "cy": 0.00514, "ps": 0.00252}


UNIMAX_SHARES |= {"yo": 0.0006}


UNIMAX_UNIFORM = 0.0142
REST = "rest"
UNIQUE_BY_MIXTURE = {"12v0": 200e9, "16v0": 80e9, "24v0": 40e9, "32v0": 15e9, "50v0": 1e9}
UNIQUE_REST = 500e9
LOG_PARAMS, LOG_TOKENS = np.log([1e9, 2e10])  # reference sizes of the drawn reducible losses
NOISE = {"run_sd": 0.003, "run_degrees_of_freedom": 5, "checkpoint_sd": 0.002, "checkpoint_exponent": 0.5}


@dataclass(frozen=True)
class Simulation:
    """Simulated runs and their truth."""

    runs: pd.DataFrame  # the run table
    truth: dict[str, Any]  # parameters by ``language:vocabulary`` in raw units, noise, finetuning; plain JSON values


@dataclass(frozen=True)
class DesignedRun:
    """One run of the design."""

    mixture: str
    vocabulary: str
    init: str
    scale: int
    shares: Mapping[str, float]  # share of the tokens by source
    languages: int


def planned_runs() -> list[DesignedRun]:
    """Return the 774 runs, in the order of Table B.1."""
    mixtures = mixtures_of_the_paper()
    evaluated = mixtures["50v0"]
    unimax = _unimax_shares(evaluated)
    crossing = tuple(dict.fromkeys(MONOLINGUAL + PAIRED))
    return [
        *(_even(_mono(name), [name], scale, "monolingual") for name in MONOLINGUAL for scale in ALL_SCALES),
        *(DesignedRun("unimax", "multilingual", "scratch", scale, unimax, UNIMAX_LANGUAGES) for scale in ALL_SCALES),
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
) -> DesignedRun:
    shares = dict.fromkeys(languages, 1 / len(languages))
    return DesignedRun(mixture, vocabulary, init, scale, shares, len(languages))


def _mono(language: str) -> str:
    return f"mono:{language}"


def _pair(languages: Sequence[str]) -> str:
    return f"pair:{'-'.join(sorted(languages))}"


def mixtures_of_the_paper() -> dict[str, list[str]]:
    """Return the languages of each multilingual mixture (Table B.5)."""
    table = load_table("mixtures_table_b5")
    return dict(zip(table["mixture"], table["languages"].str.split(), strict=True))


def _unique_tokens() -> dict[str, float]:
    """Unique tokens of every source."""
    table = load_table("unique_tokens").set_index("language")["unique_tokens"]
    printed = {str(name): float(value) for name, value in table.items()}
    mixtures = mixtures_of_the_paper()
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
class Rows:
    """The design with its budgets, one entry per row of the table."""

    runs: Sequence[DesignedRun]
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
    def of(cls, runs: Sequence[DesignedRun], rng: np.random.Generator) -> "Rows":
        """Lay out `runs` as rows, one per checkpoint and evaluated language, with random budgets."""
        evaluated = set(mixtures_of_the_paper()["50v0"])
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
        """Training tokens of each row's own language, ``(row,)``."""
        return self.tokens[np.arange(len(self.own)), self.own]

    @property
    def own_unique(self) -> Floats:
        """Unique tokens of each row's own language, ``(row,)``."""
        return self.unique[self.own]

    def table(self, loss: Floats) -> pd.DataFrame:
        """Return the run table. Unique tokens of a source are given only for runs that train on it."""
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
    """Training tokens of every run, whole thousands of steps."""
    least, most = np.log(STEPS)
    steps = np.rint(np.exp(rng.uniform(least, most, len(params))) / 1000) * 1000
    bounds, batches = np.array(BATCHES).T
    return steps * batches[np.searchsorted(bounds, params, side="right")] * SEQUENCE


def log_normal(rng: np.random.Generator, median: float, sd: float, count: int) -> Floats:
    """Draw `count` log-normal values with this median and this sd of their log."""
    return median * np.exp(rng.normal(0.0, sd, count))


def noise_of(rows: Rows, rng: np.random.Generator) -> Floats:
    """Draw the noise on log loss of each row, ``(row,)``."""
    degrees = NOISE["run_degrees_of_freedom"]
    unit = np.sqrt((degrees - 2) / degrees)  # scale of a Student-t of sd 1
    of_curve = NOISE["run_sd"] * unit * rng.standard_t(degrees, rows.curve[-1] + 1)
    early = rows.checkpoint ** -NOISE["checkpoint_exponent"]
    return of_curve[rows.curve] + NOISE["checkpoint_sd"] * early * rng.standard_normal(len(rows.curve))
