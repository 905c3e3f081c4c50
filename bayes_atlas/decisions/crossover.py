"""Pretraining from scratch or from a checkpoint: the crossover of the two in each draw (Longpre et al. 2025, §6).

A posterior of the law ``crossover`` has both learning curves, and so the expected loss of a wrong choice. A posterior
of the law ``crossover_rule`` has only the crossover.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.data.outliers import suspects
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import SIZES, Decision, dataset, in_range
from bayes_atlas.decisions.hull import outside
from bayes_atlas.decisions.monte_carlo import mean_errors, numerics, numerics_notes
from bayes_atlas.decisions.objective import LAW_ERRORS, LEARNED, NONE
from bayes_atlas.decisions.problem import ROUNDING
from bayes_atlas.decisions.summary import Summary, summarise
from bayes_atlas.errors import InputError
from bayes_atlas.law_error.population import population
from bayes_atlas.law_error.walks import STEP, Walk
from bayes_atlas.laws import TRAINING_FLOPS, crossover
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

RUNS_ON = (
    "beyond the measured sizes the rule's exponent is taken to run, as exponents of loss do; no table of crossovers "
    "tests that"
)
POINTS = 241  # of the grid on which a crossover is sought
OF_SCRATCH, OF_CHECKPOINT = ("late", "onset", "steep"), ("D_0", "limit")  # parameters of only one of the two curves
UNITS = {
    "tokens": ("training tokens at the crossover; infinite without one in range", "tokens"),
    "compute": ("training compute at the crossover; infinite without one in range", "FLOPs"),
    "scratch_wins": ("1 if training from scratch is better at the planned tokens, else 0", "1"),
    "lead": ("loss from the checkpoint minus loss from scratch there", "unit of the run table's loss"),
}


@dataclass(frozen=True, repr=False)
class Crossover(Decision):
    """Draws of the crossover in tokens. Beyond it training from scratch is better; infinite without one in range."""

    posterior: Posterior
    language: str
    checkpoint: str | None
    params: float
    tokens: Floats  # (draw,)
    within: tuple[float, float]  # range of tokens that was searched
    planned: float | None  # tokens of the planned run
    scratch_wins: Floats | None  # (draw,) True if scratch is better at `planned`
    lead: Floats | None  # (draw,) loss from the checkpoint minus loss from scratch there; None if unknown
    charged: float  # tokens of the checkpoint's own training that the budget also pays for
    notes: list[str]
    if_law_holds: "Crossover | None" = None  # the same, if the rule's exponent does not run beyond the measured sizes

    @property
    def question(self) -> str:
        """The choice in one line."""
        start = f"{number(self.params)} parameters, from scratch or from {self.start}"
        return f"{self.posterior.name}: {self.language}, {start}"

    @property
    def start(self) -> str:
        """The checkpoint, in words."""
        return "the checkpoint" if self.checkpoint is None else f"the checkpoint {self.checkpoint}"

    @property
    def compute(self) -> Floats:
        """Draws ``(draw,)`` of the compute at the crossover in FLOPs."""
        return TRAINING_FLOPS * self.params * self.tokens

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the crossover and, with planned tokens, of the comparison there; dim ``draw``."""
        quantities = {name: getattr(self, name) for name in UNITS}
        known = {name: (("draw",), values) for name, values in quantities.items() if values is not None}
        return dataset(known, units=UNITS)

    @property
    def probability_none(self) -> float:
        """Probability that there is no crossover in range."""
        return float(np.isinf(self.tokens).mean())

    @property
    def probability_below(self) -> float:
        """Probability that the crossover is below the range: from scratch is better throughout it."""
        return float((self.tokens <= self.within[0] * (1 + ROUNDING)).mean())

    @property
    def probability_scratch_wins(self) -> float | None:
        """Probability that training from scratch is better at the planned tokens; None without planned tokens."""
        return None if self.scratch_wins is None else float(self.scratch_wins.mean())

    def summary(self, probability: float = 0.9) -> dict[str, Summary | None]:
        """Tokens and compute of the crossover, over the draws with one in range; None if most draws have none."""
        exists = np.isfinite(self.tokens)
        if self.probability_none > 0.5:
            return {"tokens": None, "compute": None}
        chains = self.posterior.chains
        return {
            name: summarise(getattr(self, name), probability, chains=chains, among=exists)
            for name in ("tokens", "compute")
        }

    @property
    def loss_of_being_wrong(self) -> dict[str, float] | None:
        """Expected loss of each choice above the better one at the planned tokens; None if unknown."""
        if self.lead is None:
            return None
        return {
            "choosing_scratch": float(np.maximum(-self.lead, 0).mean()),
            "choosing_checkpoint": float(np.maximum(self.lead, 0).mean()),
        }

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document. An unlimited end of the range is None."""
        return {
            "posterior": self.posterior.name,
            "language": self.language,
            "params": self.params,
            "planned_tokens": self.planned,
            "checkpoint": self.checkpoint,
            "charge": self.charged,
            **self.summary(probability),
            "probability_none_in_range": self.probability_none,
            "probability_none_in_range_mcse": mean_errors(np.isinf(self.tokens), self.posterior.chains)[0],
            "probability_below_range": self.probability_below,
            "range": [end if np.isfinite(end) else None for end in self.within],
            "probability_scratch_wins": self.probability_scratch_wins,
            "probability_scratch_wins_mcse": None
            if self.scratch_wins is None
            else mean_errors(self.scratch_wins, self.posterior.chains)[0],
            "expected_loss_of_being_wrong": self.loss_of_being_wrong,
            "choice": self.choice,
            "law_error": NONE if self.if_law_holds is None else LEARNED,
            "if_law_holds": None if self.if_law_holds is None else self.if_law_holds.summary(probability),
            "numerics": numerics({"tokens": self.tokens}, self.posterior.chains),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for the tokens and one for the compute of the crossover."""
        alone = None if self.if_law_holds is None else self.if_law_holds.summary(probability)
        least = {"tokens": self.within[0], "compute": TRAINING_FLOPS * self.params * self.within[0]}
        rows = []
        for name, summary in self.summary(probability).items():
            cells = _cells(summary, probability, least[name])
            if alone is not None:
                cells["if the law holds"] = _cells(alone[name], probability, least[name])[interval(probability)]
            rows.append({"crossover": name} | cells)
        return rows

    @property
    def choice(self) -> str | None:
        """``scratch`` or ``checkpoint``: the lower expected loss if known, else the more probable winner."""
        if self.scratch_wins is None:
            return None
        better = self.lead.mean() > 0 if self.lead is not None else self.scratch_wins.mean() > 0.5
        return "scratch" if better else "checkpoint"


def _cells(summary: Summary | None, probability: float, least: float) -> dict[str, str]:
    """Return the cells of a crossover in scientific notation; one at `least`, where the search begins, is below it."""
    if summary is None:
        return {"median": "none in range", interval(probability): "-"}
    lower, median, upper = (
        f"below {least:.3g}" if value <= least * (1 + ROUNDING) else f"{value:.3g}"
        for value in (summary["lower"], summary["median"], summary["upper"])
    )
    return {"median": median, interval(probability): lower if lower == upper else f"{lower} to {upper}"}


def find_crossover(
    posterior: Posterior,
    *,
    params: float,
    language: str | None = None,
    tokens: float | None = None,
    checkpoint: str | None = None,
    unique: float | None = None,
    charge: float = 0.0,
    law_error: str = LEARNED,
) -> Crossover:
    """Find the tokens at which training from scratch overtakes a checkpoint of the same size.

    Args:
        posterior: a posterior of the law ``crossover`` or ``crossover_rule``.
        params: parameters N of both models.
        language: may be omitted if the posterior has only one. To a posterior of the rule, an unknown name is a new
            language.
        tokens: planned training tokens of the language. Both runs train on this many, unless `charge` is given.
        checkpoint: name of the checkpoint, if the posterior has several.
        unique: unique tokens of the language; None if unlimited.
        charge: tokens of the checkpoint's own training. Training from scratch gets them in addition.
        law_error: ``learned`` for a rule whose exponent runs beyond the sizes that were measured, as exponents of
            public tables do; ``none`` for one that holds there. Learning curves are compared within their runs.

    Raises:
        InputError: the posterior has another law or lacks a name, or a number is not positive.
    """
    in_range("params", params, SIZES, such_as="2e9")
    if tokens is not None:
        in_range("tokens", tokens, SIZES, such_as="1e11")
    if unique is not None and not np.isposinf(unique):
        in_range("unique", unique, SIZES, such_as="1e9")
    if not (np.isfinite(charge) and charge >= 0):
        raise InputError(f"charge is {charge}; it must be at least 0, such as 1e12, the tokens of the checkpoint")
    if charge:
        in_range("charge", charge, SIZES, such_as="1e12, the tokens of the checkpoint")
    if law_error not in LAW_ERRORS:
        raise InputError(f"law_error is {law_error!r}; choose one of: {', '.join(LAW_ERRORS)}")
    if posterior.info.law == "crossover_rule":
        if checkpoint is not None or unique is not None or charge:
            raise InputError(
                f"{posterior.name} has the rule of one checkpoint and no learning curves; omit checkpoint, unique and "
                f"charge, or give a posterior of the model crossover"
            )
        return _by_rule(posterior, language, params, tokens, law_error == LEARNED)
    if posterior.info.law == "crossover":
        return _by_curves(posterior, language, checkpoint, params, tokens, unique, charge)
    raise InputError(
        f"{posterior.name} fits the law {posterior.info.law!r}, which has no checkpoints; give a posterior of the "
        f"model crossover or crossover_rule"
    )


def _by_rule(posterior: Posterior, language: str | None, params: float, tokens: float | None, errs: bool) -> Crossover:
    drawn = posterior.drawn("log_tokens", "log_tokens_location", "log_tokens_scale", "gamma")
    unit = next(iter(posterior.info.references.values()))["params"]
    if language in posterior.info.languages:
        log_tokens = drawn["log_tokens"][:, posterior.info.languages.index(language)]
    else:
        fresh = np.random.default_rng(0).normal(size=drawn["gamma"].shape)
        log_tokens = drawn["log_tokens_location"] + drawn["log_tokens_scale"] * fresh
    found = np.exp(log_tokens + (drawn["gamma"] - 1) * np.log(params / unit))
    beyond = _beyond(posterior, params)
    notes = _notes(posterior) + outside(posterior, str(language), params=params)
    if language not in posterior.info.languages:
        notes.append(f"{posterior.name} has no crossover of {language or 'a named language'}: this is a new language")
    notes.append("crossovers alone do not identify the loss of a wrong choice")
    name = language or "a new language"

    def answer(found: Floats, notes: list[str], alone: Crossover | None) -> Crossover:
        wins = None if tokens is None else (found < tokens).astype(float)
        notes = [*notes, *numerics_notes({"tokens": found}, posterior.chains)]
        return Crossover(posterior, name, None, params, found, (0.0, np.inf), tokens, wins, None, 0.0, notes, alone)

    alone = answer(found, notes, None)
    if not (errs and beyond):
        return alone
    ran = found * np.exp(_run_on(drawn["gamma"], beyond))
    return answer(ran, [*notes, RUNS_ON], alone)


def _beyond(posterior: Posterior, params: float) -> float:
    """Return how far a size lies outside the sizes that were measured, in e-folds; negative below them."""
    least, most = posterior.info.runs.ranges.get("params", (params, params))
    return float(max(np.log(params / most), 0.0) + min(np.log(params / least), 0.0))


def _run_on(gamma: Floats, beyond: float) -> Floats:
    """Return what an exponent that runs adds to log tokens, ``(draw,)``, over `beyond` e-folds."""
    rng, steps = np.random.default_rng(0), int(np.ceil(abs(beyond) / STEP)) + 1
    kappa = np.exp(rng.choice(population().log_kappa, len(gamma)))
    walk = Walk(0, 0, kappa[:, None] * np.sqrt(STEP) * rng.standard_normal((len(gamma), steps)))
    _, integral = walk.at(gamma, np.full(len(gamma), abs(beyond)), slice(None))
    return np.asarray(np.sign(beyond) * (integral - gamma * abs(beyond)))


def _by_curves(
    posterior: Posterior,
    language: str | None,
    checkpoint: str | None,
    params: float,
    tokens: float | None,
    unique: float | None,
    charge: float,
) -> Crossover:
    language = posterior.language(language)
    checkpoints = posterior.info.sources[language]
    if checkpoint is None and len(checkpoints) == 1:
        checkpoint = checkpoints[0]
    if checkpoint not in checkpoints:
        problem = "no checkpoint was named" if checkpoint is None else f"there is no checkpoint {checkpoint!r}"
        raise InputError(f"{problem}; choose one of: {', '.join(checkpoints)}")
    drawn = posterior.parameters(language)
    reference = posterior.info.references[language]
    slot = checkpoints.index(checkpoint)
    either = {name: values[:, None] for name, values in drawn.items() if name not in (*OF_SCRATCH, *OF_CHECKPOINT)}
    cold = {name: drawn[name][:, None] for name in OF_SCRATCH}
    warm = {name: drawn[name][:, slot, None] for name in OF_CHECKPOINT}
    limit = None if unique is None else unique / reference["tokens"]

    def lead(trained: Any) -> Floats:
        """Return the loss from the checkpoint minus that from scratch, ``(draw, ..)``, after `trained` tokens.

        `trained` counts tokens of the run from the checkpoint.
        """
        own, both = np.asarray(trained) / reference["tokens"], params / reference["params"]
        extra = own + charge / reference["tokens"]
        warmed = crossover.loss(both, own, limit, **either, **warm)
        return np.asarray(warmed - crossover.loss(both, extra, limit, **either, **cold))

    within = posterior.info.runs.ranges["tokens"]
    grid = np.geomspace(*within, POINTS)
    found = _last_crossing(grid, lead(grid))
    at = None if tokens is None else lead(np.array([tokens]))[:, 0]
    wins = None if at is None else (at > 0).astype(float)
    notes = _notes(posterior)
    notes += outside(posterior, language, params=params, tokens=tokens)
    notes += [f"the run {name} is an outlier; the fit gave it no influence" for name in outlying(posterior)]
    notes += numerics_notes({"tokens": found}, posterior.chains)
    return Crossover(posterior, language, checkpoint, params, found, within, tokens, wins, at, charge, notes)


def outlying(posterior: Posterior) -> list[str]:
    """Return the names of outlying runs: `bayes_atlas.data.outliers.suspects`."""
    weight = posterior.drawn("weight")["weight"].mean(axis=0)
    return list(suspects(posterior.draws["posterior"]["run"].to_numpy(), weight))


def _last_crossing(grid: Floats, lead: Floats) -> Floats:
    """Return the last zero of `lead` ``(draw, point)`` from negative to positive, interpolated in log `grid`."""
    before, after = lead[:, :-1], lead[:, 1:]
    turns = (before <= 0) & (after > 0)
    last = turns.shape[1] - 1 - turns[:, ::-1].argmax(axis=1)
    rows = np.arange(len(lead))
    crosses = turns.any(axis=1)
    part = np.where(crosses, -before[rows, last], 0.0) / np.where(crosses, after[rows, last] - before[rows, last], 1.0)
    logs = np.log(grid)
    found = np.exp(logs[last] + part * (logs[last + 1] - logs[last]))
    always = (lead > 0).all(axis=1)
    return np.where(crosses, found, np.where(always, grid[0], np.inf))


def _notes(posterior: Posterior) -> list[str]:
    failed = [check.name for check in posterior.failed_checks]
    return [f"sampling failed {', '.join(failed)}: see `bayes-atlas diagnose`"] if failed else []
