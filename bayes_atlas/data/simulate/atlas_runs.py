"""Simulated runs that follow the ATLAS law, including finetunes from a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_atlas.arrays import Floats, Integers
from bayes_atlas.data.names import source_of
from bayes_atlas.data.printed import load_table
from bayes_atlas.data.runs import co_sampled_sources
from bayes_atlas.data.selection import NAMED_SOURCES
from bayes_atlas.data.simulate.design import (
    LOG_PARAMS,
    LOG_TOKENS,
    NOISE,
    SCHEMA,
    Rows,
    Simulation,
    log_normal,
    noise_of,
    planned_runs,
)
from bayes_atlas.errors import InputError
from bayes_atlas.laws import _repetition as repetition
from bayes_atlas.laws import atlas, crossover_rule

# Truth.
SPREAD = 0.5  # sd of drawn curves, relative to the sd of the printed curves
PRINTED_AS_ZERO = 0.004
LAM, LAM_SD = 0.2, 0.4
TAU_PER_BTS, TAU_ERROR, TAU_RANGE = 0.75, 0.02, (-0.1, 0.3)
TAU_UNPRINTED, TAU_UNPRINTED_SD = 0.05, 0.08
TAU_OTHER, TAU_OTHER_SD = 0.015, 0.5
LEAST_RATIO = 0.5  # least ratio of D_eff to the effective own tokens
CROSSOVER_SD = 0.3
HEAD_START, HEAD_START_SD = 0.3, 0.3


def simulate(seed: int) -> Simulation:
    """Simulate the paper's runs, about 14,000 rows; the same `seed` gives the same table.

    Raises:
        InputError: `seed` is negative.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}; it must be a whole number of at least 0, such as 0")
    rng = np.random.default_rng(seed)
    rows = Rows.of(planned_runs(), rng)
    truth = _draw_truth(rows, rng)
    loss = _expected_loss(rows, truth) * np.exp(noise_of(rows, rng))
    return Simulation(rows.table(loss), {"schema": SCHEMA, "seed": seed, "law": "atlas"} | truth.as_json(rows))


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

    def as_json(self, rows: Rows) -> dict[str, Any]:
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


def _draw_truth(rows: Rows, rng: np.random.Generator) -> _Truth:
    names = [source_of(group) for group in rows.groups]
    E, A, B, exponent = _draw_curves(rows.groups, rng)
    languages, language = np.unique(names, return_inverse=True)
    lam = log_normal(rng, LAM, LAM_SD, len(languages))[language]
    chosen = _named_sources(rows)
    tau = _draw_tau(names, rows.sources, chosen, rng)
    tau_other = np.where(
        [group.endswith(":multilingual") for group in rows.groups],
        log_normal(rng, TAU_OTHER, TAU_OTHER_SD, len(names)),
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
        head_start=log_normal(rng, HEAD_START, HEAD_START_SD, len(names)),
    )


def _draw_curves(groups: Sequence[str], rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """E, A, B and alpha = beta of every group: printed values, or draws from a population around them."""
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


def _named_sources(rows: Rows) -> Integers:
    """Index of the most co-sampled sources of every group in the runs from scratch, ``(group, slot)``; -1 for none."""
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


def _bearable(rows: Rows, chosen: Integers, tau: Floats, tau_other: Floats, lam: Floats) -> Floats:
    """Scale down a group's negative `tau` so that D_eff is at least LEAST_RATIO times the effective own tokens."""
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
    """c of the rule c N^gamma by group: from the printed crossover of its language, or drawn around the rule's c."""
    table = load_table("crossover_tokens_2b").set_index("language")
    gamma = crossover_rule.PRINTED_TEXT["gamma"]
    printed = 6 * table["params"] * table["crossover_tokens"] / table["params"] ** gamma
    drawn = log_normal(rng, crossover_rule.PRINTED_TEXT["c"], CROSSOVER_SD, len(names))
    constants = printed.reindex(pd.Index(names)).to_numpy()
    return np.where(np.isnan(constants), drawn, constants)


def _sources(rows: Rows, chosen: Integers) -> dict[str, Floats]:
    """Tokens and unique tokens of each row's named sources ``(row, slot)``, and of its other sources ``(row,)``."""
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


def _expected_loss(rows: Rows, truth: _Truth) -> Floats:
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
