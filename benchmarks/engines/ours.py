"""Our engine: the public `bayes_atlas.fit`."""

import pandas as pd

from bayes_atlas import fit, runs_from_frame
from benchmarks.engines.problem import PARAMETERS, TARGET_ACCEPT, Sampled, Settings


def sample(table: pd.DataFrame, settings: Settings) -> Sampled:
    """Draw from the posterior of `chinchilla` given `table`."""
    posterior = fit(
        runs_from_frame(table),
        "chinchilla",
        chains=settings.chains,
        warmup=settings.warmup,
        draws=settings.draws,
        seed=settings.seed,
        target_accept=TARGET_ACCEPT,
    )
    drawn, stats = posterior.draws["posterior"], posterior.draws["sample_stats"]
    sampled = {name: drawn[name].to_numpy() for name in PARAMETERS}
    return sampled | {name: stats[name].to_numpy() for name in ("n_steps", "diverging")}
