"""Simulation-based calibration of the shipped models (Talts et al. 2018, arXiv 1804.06788).

For each table, parameters and noise come from the model's prior and observations from its likelihood; the project's
driver samples the posterior. If model and sampler agree, the true value of any quantity has a uniform rank among
independent posterior draws. Quantities are all parameters, populations and noise included, the decisions of
`benchmarks.sbc_designs`, and the log likelihood, which a posterior that ignores the data would fail (Modrák et al.
2023, arXiv 2211.02383). Decisions are the law's alone, without its errors. A quantity whose ranks equal those of an
earlier one, in either direction, is the same question and is left out.

Ranks are tested by simultaneous bands (`benchmarks.rank_bands`). Each p-value counts as one look, and all looks of a
run are corrected together (Holm). Fits that fail their checks are included first, then left out. Neither this nor
dropping tables that a file cannot hold (observations that are zero or not finite) breaks calibration, since both depend
on the table and not on the true values behind it.

The benchmark prints one line per model and set of tables, and the worst quantities. From the root of the checkout:

    python -m benchmarks.sbc --models chinchilla data_constrained --tables 100 --output ranks.csv
    python -m benchmarks.sbc --models atlas --earlier ranks.csv
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arviz as az
import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.infer import Predictive

from bayes_atlas.catalogue import ModelFile, read_model
from bayes_atlas.inference.calls import keyworded
from bayes_atlas.inference.checks import named_checks
from bayes_atlas.sampler.draws import Draws
from bayes_atlas.sampler.driver import sample_many
from bayes_atlas.sampler.platforms import keep_compiled, precision, use_platform
from bayes_atlas.sampler.settings import Progress, Settings
from benchmarks.rank_bands import Counts, below, holm, p_value, rank
from benchmarks.rank_bands import bands as bands_of
from benchmarks.sbc_designs import DESIGNS, Design, Sites, Table, design

type Floats = NDArray[np.float64]

RANKED = 99  # draws of each fit that are ranked against; central 90 % then are the ranks 5 to 94
CENTRAL = (5, 94)
CHAINS = 4
FEWEST = 20  # tables that are worth a test
CSV = ("model", "table", "quantity", "rank", "draws", "failed_checks", "dropped", "seconds")
SHOWN = 5  # worst quantities that are printed
COLUMNS = (
    "model",
    "tables",
    "quantities",
    "least p",
    "corrected",
    "worst quantity",
    "outside 95 %",
    "outside 99 %",
    "90 % intervals hold",
    "failed fits",
    "dropped",
    "s",
)


@dataclass(frozen=True)
class Calibration:
    """Ranks of the true values in all tables of one model."""

    model: str
    ranks: dict[str, Counts]  # by quantity, (table,)
    failed: list[list[str]]  # by table, the checks that its fit failed
    dropped: int  # tables with an observation that is zero or not finite
    seconds: float

    @property
    def passed(self) -> NDArray[np.bool_]:
        """Mask ``(table,)`` of the tables whose fit passed all checks."""
        return np.array([not names for names in self.failed])

    def frame(self) -> pd.DataFrame:
        """Return one row per table and quantity."""
        ranks = pd.DataFrame(self.ranks).assign(failed_checks=[" ".join(names) for names in self.failed])
        long = ranks.rename_axis("table").reset_index().melt(["table", "failed_checks"], None, "quantity", "rank")
        long = long.assign(model=self.model, draws=RANKED, dropped=self.dropped, seconds=round(self.seconds))
        return long[list(CSV)]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Calibration":
        """Return the calibration whose `frame` this is."""
        wide = frame.pivot(index="table", columns="quantity", values="rank")
        checks = frame.drop_duplicates("table").sort_values("table")["failed_checks"]
        return cls(
            model=str(frame["model"].iloc[0]),
            ranks={name: wide[name].to_numpy() for name in frame["quantity"].drop_duplicates()},
            failed=[names.split() for names in checks],
            dropped=int(frame["dropped"].iloc[0]),
            seconds=float(frame["seconds"].iloc[0]),
        )


@dataclass(frozen=True)
class Look:
    """The uniformity of one quantity over some tables."""

    model: str
    tables: str  # all, or passed
    quantity: str
    ranks: Counts
    p: float


def calibrate(model: str, tables: int, *, warmup: int = 500, draws: int = 500, seed: int = 0) -> Calibration:
    """Simulate `tables` tables by a shipped model, fit it to each, and rank the true values."""
    began = time.monotonic()
    use_platform("cpu")
    keep_compiled()
    file, designed, rng = read_model(model), design(model), np.random.default_rng(seed)
    settings = Settings(chains=CHAINS, warmup=warmup, draws=draws, seed=seed)
    with precision("cpu"):
        simulated = list(_simulated(file, designed, tables, rng))
        kept = [(truth, table) for truth, table in simulated if _holds(designed, table[1])]
        sampled = sample_many(keyworded(file), [table for _, table in kept], settings, _tell(model))
        ranked, failed = [], []
        for (truth, table), drawn in zip(kept, sampled, strict=True):
            latent = {name: values for name, values in truth.items() if name in drawn.sites}
            truth_of = latent | {"log_likelihood": _log_likelihood(file, designed, latent, table)}
            ranked.append(ranks_of(truth_of, _thinned(drawn), designed, rng))
            failed.append(_failed(drawn, settings, list(latent)))
    ranks = {name: np.array([each[name] for each in ranked]) for name in ranked[0]}
    return Calibration(model, _distinct(ranks), failed, len(simulated) - len(kept), time.monotonic() - began)


def ranks_of(truth: Sites, drawn: Sites, designed: Design, rng: np.random.Generator) -> dict[str, int]:
    """Return the rank of every scalar of `truth`, ``(..)`` by site, and of decisions, among `drawn` ``(draw, ..)``."""
    one = {name: np.asarray(values)[None] for name, values in truth.items()}
    true, draws = ({**sites, **designed.derived(sites)} for sites in (one, drawn))
    ranks = {}
    for name, values in true.items():
        found = rank(np.asarray(draws[name]), values[0], rng)
        for index in np.ndindex(found.shape):
            ranks[f"{name}[{','.join(map(str, index))}]" if index else name] = int(found[index])
    return ranks


def read_ranks(path: Path) -> list[Calibration]:
    """Read the calibrations of all models in a CSV file of an earlier run."""
    frame = pd.read_csv(path, keep_default_na=False)
    return [Calibration.of(own) for _, own in frame.groupby("model", sort=False)]


def looks(found: Calibration) -> list[Look]:
    """Test every quantity over all tables and, if some fits failed a check and enough did not, over those too."""
    masks = {"all": np.ones(len(found.failed), dtype=bool)}
    if FEWEST <= found.passed.sum() < len(found.failed):
        masks["passed"] = found.passed
    return [
        Look(found.model, tables, name, ranks[mask], p_value(ranks[mask], RANKED))
        for tables, mask in masks.items()
        for name, ranks in found.ranks.items()
    ]


def corrected(taken: Sequence[Look]) -> Floats:
    """Return the p-values of all looks of a run, corrected for their number."""
    return holm(np.array([look.p for look in taken]))


def lines(found: Sequence[Calibration]) -> Iterator[str]:
    """Yield the report of a run: a line per model and set of tables, then the worst quantities."""
    taken = [look for each in found for look in looks(each)]
    p_values = corrected(taken)
    yield f"{len(taken)} looks, corrected together (Holm)\n"
    yield "| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS)
    for each in found:
        for tables in ("all", "passed"):
            own = [at for at, look in enumerate(taken) if (look.model, look.tables) == (each.model, tables)]
            if own:
                yield _line(each, [taken[at] for at in own], p_values[own])
    for each in found:
        failed = Counter(name for names in each.failed for name in names)
        counts = ", ".join(f"{name} {count}" for name, count in failed.most_common())
        yield f"\n{each.model}, fits by failed check: {counts or 'none'}"
    yield f"\nThe {SHOWN} worst quantities, with how many ranks fall into each tenth:\n"
    for at in np.argsort([look.p for look in taken])[:SHOWN]:
        look = taken[at]
        tenths = " ".join(str(count) for count in np.bincount(look.ranks * 10 // (RANKED + 1), minlength=10))
        yield f"{look.model} ({look.tables}) {look.quantity}: p {look.p:.2g}, corrected {p_values[at]:.2g}; {tenths}"


def _line(found: Calibration, own: Sequence[Look], p_values: Floats) -> str:
    worst = int(np.argmin([look.p for look in own]))
    ranks = np.stack([look.ranks for look in own])
    inside = (ranks >= CENTRAL[0]) & (ranks <= CENTRAL[1])
    outside = [f"{_outside(ranks, probability)} of {len(own)}" for probability in (0.95, 0.99)]
    cells = [
        found.model,
        f"{ranks.shape[1]} ({own[0].tables})",
        str(len(own)),
        f"{own[worst].p:.2g}",
        f"{p_values[worst]:.2g}",
        own[worst].quantity,
        *outside,
        f"{inside.mean():.1%} (se {_standard_error(inside):.1%})",
        str(int((~found.passed).sum())),
        str(found.dropped),
        f"{found.seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _outside(ranks: Counts, probability: float) -> int:
    """Return how many quantities have an ECDF outside their simultaneous band; `ranks` are ``(quantity, table)``."""
    lower, upper = bands_of(ranks.shape[1], RANKED, probability)
    counts = np.stack([below(each, RANKED) for each in ranks])
    return int(((counts < lower) | (counts > upper)).any(axis=1).sum())


def _standard_error(inside: NDArray[np.bool_]) -> float:
    """Return that of the mean over quantities and tables; quantities of one table are not independent."""
    by_table = inside.mean(axis=0)
    return float(by_table.std(ddof=1) / np.sqrt(len(by_table)))


def _simulated(
    file: ModelFile, designed: Design, tables: int, rng: np.random.Generator
) -> Iterator[tuple[dict[str, Any], Table]]:
    """Yield true values of all sites and the observed table, drawn from the model's own prior and likelihood."""
    simulate = jax.jit(Predictive(keyworded(file), num_samples=tables))
    key = jax.random.PRNGKey(int(rng.integers(2**31)))
    sites = {name: np.asarray(values) for name, values in simulate(key, designed.covariates, None).items()}
    for number in range(tables):
        own = {name: values[number] for name, values in sites.items()}
        observed = designed.observe(designed.covariates, own, rng)
        yield {name: values for name, values in own.items() if name != designed.site}, observed


def _holds(designed: Design, observed: Floats) -> bool:
    """Return whether a table file can hold the observed values: finite, and positive if they are losses."""
    return bool(np.isfinite(observed).all() and ("curves" not in designed.covariates or (observed > 0).all()))


def _log_likelihood(file: ModelFile, designed: Design, sites: Sites, table: Table) -> Floats:
    seeded = handlers.substitute(handlers.seed(keyworded(file), jax.random.key(0)), data=dict(sites))
    site = handlers.trace(seeded).get_trace(*table)[designed.site]
    return np.asarray(site["fn"].log_prob(site["value"]).sum())


def _thinned(drawn: Draws) -> dict[str, Floats]:
    """Return `RANKED` draws of all chains, evenly spaced: about independent if chains mix as they usually do."""
    joined = drawn.sites | {"log_likelihood": drawn.log_likelihood.sum(axis=-1)}
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in joined.items()}
    total = len(flat["log_likelihood"])
    return {name: values[(np.arange(RANKED) * total) // RANKED] for name, values in flat.items()}


def _failed(drawn: Draws, settings: Settings, names: Sequence[str]) -> list[str]:
    """Return the checks that a fit fails."""
    posterior = {name: drawn.sites[name] for name in names}
    tree = az.from_dict({"posterior": posterior, "sample_stats": drawn.stats})
    return [check.name for check in named_checks(tree, settings.max_tree_depth) if not check.passed]


def _distinct(ranks: Mapping[str, Counts]) -> dict[str, Counts]:
    """Leave out quantities whose ranks equal those of an earlier one, in either direction."""
    found: dict[bytes, str] = {}
    for name, values in ranks.items():
        mirrored = (RANKED - values).tobytes()
        if mirrored not in found:
            found.setdefault(values.tobytes(), name)
    return {name: ranks[name] for name in found.values()}


def _tell(model: str) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        said = f"{model}: {progress.done} of {progress.total} iterations, {progress.gradients:.0f} gradients a draw"
        print(said, file=sys.stderr, flush=True)

    return tell


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="CSV file of all ranks, written after each model")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], help="such files, to be reported together")
    arguments = parser.parse_args()
    if arguments.tables < FEWEST:
        parser.error(f"--tables is {arguments.tables}; give at least {FEWEST}")
    found = [each for path in arguments.earlier for each in read_ranks(path)]
    names = [*(each.model for each in found), *arguments.models]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        parser.error(f"{twice[0]} is there twice; leave it out of --models, or give one file with it")
    for model in arguments.models:
        found.append(
            calibrate(model, arguments.tables, warmup=arguments.warmup, draws=arguments.draws, seed=arguments.seed)
        )
        if arguments.output is not None:
            pd.concat([each.frame() for each in found]).to_csv(arguments.output, index=False)
    for line in lines(found):
        print(line)


if __name__ == "__main__":
    main()
