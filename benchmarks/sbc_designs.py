"""A small table for every shipped model, for simulation-based calibration: covariates, and how a draw is observed.

Each design has what its model can use: several languages, sources, repetition, checkpoints of runs, and in `chinchilla`
ten model sizes, so that there are size effects. Covariates stay the same in all tables, but for the evidence of
`law_error`: it is that of a normal measurement of log kappa. No score is censored, since bounds make a gradient of
`transfer` fifteen times as dear.

Some models have priors in units of the measured table. Here the units are part of the design.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas.catalogue import read_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.laws import bilingual, capacity, chinchilla, crossover
from bayes_atlas.observations.crossings import made_up_crossings
from bayes_atlas.observations.curves import arrange
from bayes_atlas.observations.evidence import Evidence
from bayes_atlas.observations.pairs import made_up_pairs

type Floats = NDArray[np.float64]
type Sites = Mapping[str, Any]  # arrays by site
type Table = tuple[dict[str, Any], Floats]  # covariates and observed values

BUDGET = 1e4  # in units of the reference sizes, for optima
GROWTH = 2.0  # factor on the number of languages
SEARCHED = np.geomspace(0.01, 100.0, 241)  # tokens, in units of the reference, among which a crossover is sought
LARGE = np.log(4.0)  # log size, in units of the reference, of the rule's crossover
ANCHOR = 1.0  # tokens, in units of the reference, of transfer scores
MEASURED = 0.7  # sd of the measurement of log kappa


@dataclass(frozen=True)
class Design:
    """The tables of one model."""

    covariates: dict[str, Any]
    site: str  # the observed site
    observe: Callable[[dict[str, Any], Sites, np.random.Generator], Table]  # of covariates and one draw of all sites
    derived: Callable[[Sites], dict[str, Floats]]  # decisions by name ``(draw, ..)``, from sites ``(draw, ..)``


def design(model: str) -> Design:
    """Return the design of a shipped model."""
    return DESIGNS[model]()


def _chinchilla() -> Design:
    return _curves("chinchilla", _grid(["en", "sw"], runs=14, sizes=10), _optimum)


def _data_constrained() -> Design:
    frame = _grid(["en", "sw"], runs=14, sizes=4).assign(unique=1e10)
    return _curves("data_constrained", frame, _optimum)


def _family_share() -> Design:
    frame = _mixed(["de", "nl", "fr"], runs=10, sizes=4)
    return _curves("family_share", frame, _optimum)


def _atlas() -> Design:
    frame = _mixed(["en", "sw", "fr", "hi"], runs=8, sizes=4, checkpoints=3)
    frame = frame.assign(**{f"unique.{name}": 1e10 for name in ("en", "sw", "fr", "hi")})
    return _curves("atlas", frame[frame["language"].isin(["en", "sw"])], _optimum, sources=2, burn_in=True)


def _capacity() -> Design:
    frame = _grid(["en", "sw"], runs=14, sizes=4)
    return _curves("capacity", frame.assign(languages=np.array([1, 2, 4, 8, 16])[np.arange(len(frame)) % 5]), _growth)


def _bilingual() -> Design:
    rows = [
        {"run": f"{target}-{partner}", "language": target, "params": 1e9}
        | {f"tokens.{name}": (name in (target, partner)) * tokens for name in ("en", "sw")}
        | {"step": tokens, "loss": 1.0}
        for target in ("en", "sw")
        for partner in ("en", "sw")
        for tokens in np.geomspace(1e9, 1e11, 6)
    ]
    return _curves("bilingual", pd.DataFrame(rows).drop(columns="step"), _scores)


def _crossover() -> Design:
    rows = [
        {"run": f"{language}-{start}-{number}", "language": language, "init": start, "params": params}
        | {"tokens": tokens * part, "unique": 1e10, "loss": 1.0}
        for language in ("de", "es")
        for start in ("scratch", "en", "ru")
        for number, (params, tokens) in enumerate([(1e8, 1e9), (4e8, 1e10), (1e8, 1e11)])
        for part in (0.1, 0.3, 1.0)
    ]
    return _curves("crossover", pd.DataFrame(rows), _crossings)


def _crossover_rule() -> Design:
    crossings, _ = made_up_crossings(3)
    return Design({"crossings": crossings}, "crossover", _plainly("crossover"), _rule)


def _transfer() -> Design:
    pairs, _ = made_up_pairs(5, distances=1, stated=0)
    return Design({"pairs": pairs}, "measured", _plainly("measured"), lambda sites: {})


def _law_error() -> Design:
    grid = np.linspace(-60.0, 60.0, 2401)  # wide and fine: all of the prior, a parabola to within .0007
    tables = 5

    def evidence(measured: Floats) -> Evidence:
        log_evidence = -((grid - measured[:, None]) ** 2) / (2 * MEASURED**2)
        return Evidence(grid, log_evidence, np.full(tables, 0.2))

    def observe(covariates: dict[str, Any], sites: Sites, rng: np.random.Generator) -> Table:
        measured = sites["log_kappa"] + MEASURED * rng.normal(size=tables)
        return {"evidence": evidence(measured)}, sites["log_q_estimate"]

    return Design({"evidence": evidence(np.zeros(tables))}, "log_q_estimate", observe, lambda sites: {})


DESIGNS: dict[str, Callable[[], Design]] = {
    "chinchilla": _chinchilla,
    "data_constrained": _data_constrained,
    "family_share": _family_share,
    "atlas": _atlas,
    "capacity": _capacity,
    "bilingual": _bilingual,
    "crossover": _crossover,
    "crossover_rule": _crossover_rule,
    "transfer": _transfer,
    "law_error": _law_error,
}


def _curves(model: str, frame: pd.DataFrame, derived: Callable[[Sites], dict[str, Floats]], **options: Any) -> Design:
    """Return the design of a model of learning curves; losses in `frame` do not matter."""
    arranged = arrange(runs_from_frame(frame), read_model(model).covariates, **options)
    return Design(arranged.covariates, "log_loss", _plainly("log_loss", np.exp), derived)


def _plainly(site: str, scale: Callable[[Floats], Floats] = np.asarray) -> Callable[..., Table]:
    """Observe the values of `site` on another scale, with the same covariates in all tables."""

    def observe(covariates: dict[str, Any], sites: Sites, rng: np.random.Generator) -> Table:
        with np.errstate(over="ignore"):
            return covariates, scale(np.asarray(sites[site]))

    return observe


def _grid(languages: Sequence[str], runs: int, sizes: int) -> pd.DataFrame:
    """Return `runs` runs of each language, whose sizes and tokens are hardly correlated."""
    return pd.DataFrame(
        {"run": f"{language}-{number}", "language": language, "params": params, "tokens": tokens, "loss": 1.0}
        for language in languages
        for number, (params, tokens) in enumerate(_runs(runs, sizes))
    )


def _runs(runs: int, sizes: int) -> list[tuple[float, float]]:
    params, tokens = np.geomspace(1e8, 1e10, sizes), np.geomspace(2e9, 2e11, 7)
    return [(float(params[number % sizes]), float(tokens[number * 3 % 7])) for number in range(runs)]


def _mixed(languages: Sequence[str], runs: int, sizes: int, checkpoints: int = 1) -> pd.DataFrame:
    """Return `runs` runs on mixtures of all languages, each with a row of every language at every checkpoint."""
    shares = np.random.default_rng(0).dirichlet(np.ones(len(languages)), runs)
    return pd.DataFrame(
        {"run": f"run-{number}", "language": language, "params": params, "loss": 1.0}
        | {f"tokens.{name}": share * tokens * part for name, share in zip(languages, shares[number], strict=True)}
        for number, (params, tokens) in enumerate(_runs(runs, sizes))
        for part in np.linspace(0, 1, checkpoints + 1)[1:]
        for language in languages
    )


def _optimum(sites: Sites) -> dict[str, Floats]:
    """Log of the compute-optimal size of each language, by the law alone and with data that do not repeat."""
    params, _ = chinchilla.optimum(BUDGET, **{name: sites[name] for name in ("A", "B", "alpha", "beta")})
    return {"log_optimal_params": np.log(params)}


def _growth(sites: Sites) -> dict[str, Floats]:
    """Logs of the factors on size and data for twice as many languages at equal loss."""
    found = capacity.expansion(GROWTH, **{name: sites[name] for name in ("alpha", "beta", "phi", "psi")})
    return {"log_params_factor": np.log(found.params), "log_tokens_factor": np.log(found.tokens)} | _optimum(sites)


def _scores(sites: Sites) -> dict[str, Floats]:
    """Transfer score of each pair; minus infinity if the loss is never reached."""
    own = {name: np.asarray(sites[name])[..., None] for name in ("E", "B", "beta")}
    return {"score": np.asarray(bilingual.score(ANCHOR, **own, worth=sites["worth"], floor=sites["floor"]))}


def _crossings(sites: Sites) -> dict[str, Floats]:
    """Last of the tokens searched up to which each checkpoint is better at the reference size; 0 if it never is."""
    own = {name: np.asarray(sites[name])[..., None] for name in ("E", "A", "B", "alpha", "beta")}
    cold = {name: np.asarray(sites[name])[..., None] for name in ("late", "onset", "steep")}
    warm = {"D_0": sites["D_0"], "delta": np.asarray(sites["delta"])[..., None], "limit": sites["limit"]}
    last = np.zeros(np.shape(sites["D_0"]))
    for tokens in SEARCHED:
        better = crossover.loss(1.0, tokens, **own, **warm) < crossover.loss(1.0, tokens, **own, **cold)
        last = np.where(better, tokens, last)
    return {"crossover": last}


def _rule(sites: Sites) -> dict[str, Floats]:
    """Log tokens of each language's crossover at a size beyond the reference."""
    return {"log_crossover": sites["log_tokens"] + (np.asarray(sites["gamma"])[..., None] - 1) * LARGE}
