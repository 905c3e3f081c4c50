"""The problem that every engine gets, and the result that each must return."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# What the engines are compared by: parameters of every language at the reference sizes, and their populations.
BY_LANGUAGE = ("level", "E", "A", "B", "alpha", "beta", "sigma")
POPULATIONS = ("level", "size_share", "irreducible_share", "alpha", "beta", "sigma")
PARAMETERS = (*BY_LANGUAGE, *(f"{name}_location" for name in POPULATIONS))

# As `bayes_atlas.fit` has it.
TARGET_ACCEPT = 0.9

type Floats = NDArray[np.float64]
type Sampled = dict[str, NDArray[np.generic]]  # PARAMETERS, n_steps and diverging; all start with (chain, draw)


@dataclass(frozen=True)
class Settings:
    """How long to sample, per chain."""

    chains: int
    warmup: int
    draws: int
    seed: int


@dataclass(frozen=True)
class Rows:
    """A run table as an independent program would read it; arrays ``(row,)``."""

    language: NDArray[np.int64]  # index
    params: Floats
    tokens: Floats
    log_loss: Floats
    mean_log_params: float
    mean_log_tokens: Floats  # (language,)

    @property
    def languages(self) -> int:
        """Number of languages."""
        return len(self.mean_log_tokens)

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Rows":
        """Read `table`; languages in the order of their appearance."""
        language, names = pd.factorize(table["language"])
        log_params, log_tokens = np.log(table["params"].to_numpy()), np.log(table["tokens"].to_numpy())
        return cls(
            language=language.astype(np.int64),
            params=table["params"].to_numpy(),
            tokens=table["tokens"].to_numpy(),
            log_loss=np.log(table["loss"].to_numpy()),
            mean_log_params=float(log_params.mean()),
            mean_log_tokens=np.array([log_tokens[language == index].mean() for index in range(len(names))]),
        )
