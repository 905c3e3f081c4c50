"""PyStan on `chinchilla.stan`: Stan's own NUTS with a diagonal mass matrix, compiled by the machine's C++ compiler."""

from pathlib import Path

import numpy as np
import pandas as pd
import stan
from numpy.typing import NDArray

from benchmarks.engines.problem import BY_LANGUAGE, PARAMETERS, TARGET_ACCEPT, Rows, Sampled, Settings

PROGRAM = Path(__file__).with_name("chinchilla.stan")


def sample(table: pd.DataFrame, settings: Settings) -> Sampled:
    """Draw from the posterior of the same model given `table`."""
    rows = Rows.of(table)
    data = {
        "rows": len(rows.log_loss),
        "languages": rows.languages,
        "language": (rows.language + 1).tolist(),
        "log_params": (np.log(rows.params) - rows.mean_log_params).tolist(),
        "log_tokens": (np.log(rows.tokens) - rows.mean_log_tokens[rows.language]).tolist(),
        "log_loss": rows.log_loss.tolist(),
    }
    fit = stan.build(PROGRAM.read_text(encoding="utf-8"), data=data, random_seed=settings.seed).sample(
        num_chains=settings.chains, num_warmup=settings.warmup, num_samples=settings.draws, delta=TARGET_ACCEPT
    )

    def by_chain(name: str) -> NDArray[np.generic]:
        values = np.asarray(fit[name])  # (.., draw and chain), draws first
        values = values.reshape(*values.shape[:-1], settings.draws, settings.chains)
        values = np.moveaxis(values, (-1, -2), (0, 1))
        return values if name in BY_LANGUAGE else values[..., 0]

    sampled = {name: by_chain(name) for name in PARAMETERS}
    return sampled | {"n_steps": by_chain("n_leapfrog__"), "diverging": by_chain("divergent__").astype(bool)}
