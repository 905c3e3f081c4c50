"""Simulated runs that follow the capacity law (Longpre et al. 2025, §5)."""

import numpy as np

from bayes_atlas.data.simulate.design import (
    LOG_PARAMS,
    LOG_TOKENS,
    NOISE,
    SCHEMA,
    Rows,
    Simulation,
    log_normal,
    mixtures_of_the_paper,
    noise_of,
    planned_runs,
)
from bayes_atlas.errors import InputError
from bayes_atlas.laws import capacity

# Truth.
CAPACITY_LANGUAGES = "8v0"
CAPACITY_LOSSES, CAPACITY_SD = (0.6, 0.1, 0.3), 0.2  # E, A and B at the reference
CAPACITY_NOISE = 4.0  # multiple of NOISE
CAPACITY = {"alpha": 0.11 / 0.243, "beta": 0.04 / (1 - 0.728), "phi": 0.11, "psi": -0.04}


def simulate_capacity(seed: int) -> Simulation:
    """Simulate the paper's capacity runs, by the capacity law: 4,648 rows of eight languages.

    Raises:
        InputError: `seed` is negative.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}; it must be a whole number of at least 0, such as 0")
    rng = np.random.default_rng(seed)
    mixtures = mixtures_of_the_paper()
    evaluated = mixtures[CAPACITY_LANGUAGES]
    plan = [run for run in planned_runs() if run.vocabulary == "multilingual" and run.init == "scratch"]
    rows = Rows.of([run for run in plan if run.mixture != "unimax" and not set(run.shares).isdisjoint(evaluated)], rng)
    languages = np.array([run.languages for run in rows.runs], dtype=np.float64)[rows.run]
    truth = {name: _draw_capacity(rng) for name in evaluated}
    of_row = [truth.get(name, CAPACITY | dict.fromkeys("EAB", np.nan)) for name in rows.language.tolist()]
    parameters = {name: np.array([drawn[name] for drawn in of_row]) for name in capacity.PARAMETERS}
    expected = capacity.loss(rows.params, rows.own_tokens, languages, **parameters)
    loss = expected * np.exp(CAPACITY_NOISE * noise_of(rows, rng))
    table = rows.table(loss).loc[np.isfinite(loss)].reset_index(drop=True)
    runs = table.drop(columns=[name for name in table if name.startswith("unique")])
    noise = {name: CAPACITY_NOISE * value if name.endswith("_sd") else value for name, value in NOISE.items()}
    return Simulation(
        runs.loc[:, (runs != 0).any()],
        {"schema": SCHEMA, "seed": seed, "law": "capacity", "languages": truth, "noise": noise},
    )


def _draw_capacity(rng: np.random.Generator) -> dict[str, float]:
    E, size, data = (np.array(CAPACITY_LOSSES) * log_normal(rng, 1.0, CAPACITY_SD, 3)).tolist()
    A, B = size * np.exp(CAPACITY["alpha"] * LOG_PARAMS), data * np.exp(CAPACITY["beta"] * LOG_TOKENS)
    return {"E": E, "A": float(A), "B": float(B)} | CAPACITY
