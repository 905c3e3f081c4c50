"""Run tables of the benchmarks, simulated from a law with known truth.

One seed determines all draws. Sizes are in units of `PARAMS` and `TOKENS`, so the true A and B are losses at these
sizes. Runs have one of `SIZES` model sizes, too few for a size effect (see `bayes_atlas.modelling.curve_noise`).
Residuals on log loss are those of the models: Student-t by run, with a drift along the checkpoints, larger at early
ones.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas.laws import atlas, chinchilla

type Floats = NDArray[np.float64]

PARAMS, TOKENS = 1e9, 2e10
SIZES = np.geomspace(1e8, 8e9, 5)
OWN_TOKENS = (2e9, 4e11)
NAMED = ("hub-1", "hub-2", "hub-3")  # in the mixture of every run
REST = "rest"  # in half of them
RATIO = (np.log(0.1), np.log(10.0))  # of a source's tokens to the language's own, in logs
HUB_UNIQUE = 5e11
MOST_EPOCHS = 8.0  # over a language's own tokens
SIGMA = 0.0025  # scale of a finished run's Student-t: sd .0035, as much as in `bayes_atlas.data.simulate`
NU, MEMORY, STAGE = 4.0, 0.5, 0.3  # degrees of freedom, e-folds of memory, growth of noise towards the start


@dataclass(frozen=True)
class Study:
    """A simulated run table and the parameters behind it: by name, ``(language,)``, tau ``(language, source)``."""

    runs: pd.DataFrame
    truth: dict[str, Floats]


def chinchilla_study(languages: int, runs: int, seed: int = 0, noise: float = SIGMA) -> Study:
    """`runs` runs of one row for each of `languages`, by the Chinchilla law, with `noise` in the typical language."""
    rng = np.random.default_rng(seed)
    truth = _curves(languages, noise, rng)
    design = _design(languages, runs, np.ones(1), rng)
    of_row = {name: values[design.language] for name, values in truth.items() if name != "sigma"}
    expected = chinchilla.loss(design.params / PARAMS, design.tokens / TOKENS, **of_row)
    return Study(design.table(expected * np.exp(design.residuals(truth["sigma"], rng))), truth)


def atlas_study(languages: int, runs: int, checkpoints: int = 1, seed: int = 0) -> Study:
    """`runs` runs of `checkpoints` rows for each of `languages`, by the ATLAS law: repetition, sources, a rest."""
    rng = np.random.default_rng(seed)
    truth = _curves(languages, SIGMA, rng) | {
        "lam": _log_normal(rng, 0.2, 0.3, languages),
        "tau": rng.normal(0.15, 0.05, (languages, len(NAMED))).clip(0.01),
        "tau_other": rng.normal(0.03, 0.01, languages).clip(0.005),
    }
    design = _design(languages, runs, np.linspace(0, 1, checkpoints + 1)[1:], rng)
    unique = (OWN_TOKENS[1] / rng.uniform(1, MOST_EPOCHS, languages))[design.language]
    ratio = rng.uniform(*RATIO, (languages * runs, len(NAMED)))
    hub_tokens = design.tokens[:, None] * np.exp(design.per_run(ratio))
    others = np.where(rng.random(languages * runs) < 0.5, np.exp(rng.uniform(*RATIO, languages * runs)), 0.0)
    other_tokens = design.tokens * design.per_run(others)
    expected = atlas.loss(
        design.params / PARAMS,
        design.tokens / TOKENS,
        unique / TOKENS,
        source_tokens=hub_tokens / TOKENS,
        source_unique=np.full(hub_tokens.shape, HUB_UNIQUE / TOKENS),
        other_tokens=other_tokens / TOKENS,
        other_unique=np.full(other_tokens.shape, np.inf),
        **{name: values[design.language] for name, values in truth.items() if name != "sigma"},
    )
    table = design.table(expected * np.exp(design.residuals(truth["sigma"], rng))).assign(unique=unique)
    table = table.assign(**{f"tokens.{name}": hub_tokens[:, slot] for slot, name in enumerate(NAMED)})
    table = table.assign(**{f"unique.{name}": HUB_UNIQUE for name in NAMED})
    return Study(table.assign(**{f"tokens.{REST}": other_tokens}), truth)


def _curves(languages: int, noise: float, rng: np.random.Generator) -> dict[str, Floats]:
    """The law's E, A, B, alpha and beta, and the noise, around populations like those of published fits."""
    level = _log_normal(rng, 3.0, 0.2, languages)
    size = _log_normal(rng, 0.15, 0.2, languages)
    data = _log_normal(rng, 0.2, 0.2, languages)
    return {
        "E": level * (1 - size - data),
        "A": level * size,
        "B": level * data,
        "alpha": _log_normal(rng, 0.34, 0.1, languages),
        "beta": _log_normal(rng, 0.3, 0.1, languages),
        "sigma": _log_normal(rng, noise, 0.3, languages),
    }


def _log_normal(rng: np.random.Generator, median: float, spread: float, count: int) -> Floats:
    return median * np.exp(rng.normal(0.0, spread, count))


@dataclass(frozen=True)
class _Design:
    """Rows in the order of language, run, checkpoint; arrays ``(row,)``."""

    language: NDArray[np.int64]
    run: NDArray[np.int64]
    params: Floats
    tokens: Floats
    fractions: Floats  # (checkpoint,) of a run's last tokens

    def per_run(self, values: Floats) -> Floats:
        """Give each row its run's value."""
        return values[self.run]

    def residuals(self, sigma: Floats, rng: np.random.Generator) -> Floats:
        """Of log loss, for noise `sigma` ``(language,)`` of a finished run."""
        runs = self.run[-1] + 1
        drift = np.empty((runs, len(self.fractions)))
        drift[:, 0] = rng.standard_normal(runs)
        for step, persistence in enumerate(np.exp(-np.diff(np.log(self.fractions)) / MEMORY), 1):
            fresh = np.sqrt(1 - persistence**2) * rng.standard_normal(runs)
            drift[:, step] = persistence * drift[:, step - 1] + fresh
        drift *= self.fractions**-STAGE / np.sqrt(rng.chisquare(NU, (runs, 1)) / NU)
        return sigma[self.language] * drift.ravel()

    def table(self, loss: Floats) -> pd.DataFrame:
        """The run table without sources."""
        return pd.DataFrame(
            {
                "run": [f"run-{number}" for number in self.run],
                "language": [f"language-{number:03d}" for number in self.language],
                "params": self.params,
                "tokens": self.tokens,
                "loss": loss,
            }
        )


def _design(languages: int, runs: int, fractions: Floats, rng: np.random.Generator) -> _Design:
    run = np.repeat(np.arange(languages * runs), len(fractions))
    last = np.exp(rng.uniform(np.log(OWN_TOKENS[0]), np.log(OWN_TOKENS[1]), languages * runs))
    return _Design(
        language=run // runs,
        run=run,
        params=SIZES[run % runs % len(SIZES)],
        tokens=last[run] * np.tile(fractions, languages * runs),
        fractions=fractions,
    )
