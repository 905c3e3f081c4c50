"""Bayesian scaling laws for multilingual pretraining: how big, how much data, in which languages, and how sure.

    runs = read_runs("runs.csv")
    posterior = fit(runs, model="atlas")
    print(optimum(posterior, language="sw", compute=1e21).summary())

Importing the package and deciding from a stored posterior load neither jax nor numpyro; `fit` does, when first used.
"""

from typing import TYPE_CHECKING, Any

from bayes_atlas.decisions.optimum import Optimum, optimum
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior, load_posterior
from bayes_atlas.runs import read_runs, runs_from_frame

if TYPE_CHECKING:
    from bayes_atlas.fitting import fit

__all__ = ["InputError", "Optimum", "Posterior", "fit", "load_posterior", "optimum", "read_runs", "runs_from_frame"]


def __getattr__(name: str) -> Any:
    if name == "fit":
        from bayes_atlas.fitting import fit

        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
