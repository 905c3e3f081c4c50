"""Bayesian scaling laws for multilingual pretraining: how big, how much data, in which languages, and how sure.

    runs = read_runs("runs.csv")
    posterior = fit(runs, model="atlas")
    print(optimum(posterior, language="sw", compute=1e21).summary())

Each name loads its module when first used: `fit` needs jax and numpyro, reading a posterior and deciding do not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_atlas.decisions.optimum import Optimum, optimum
    from bayes_atlas.errors import InputError
    from bayes_atlas.fitting import fit, fit_many
    from bayes_atlas.posterior import Posterior, load_posterior
    from bayes_atlas.runs import read_runs, runs_from_frame

__all__ = [
    "InputError",
    "Optimum",
    "Posterior",
    "fit",
    "fit_many",
    "load_posterior",
    "optimum",
    "read_runs",
    "runs_from_frame",
]

_HOMES = {
    "InputError": "errors",
    "Optimum": "decisions.optimum",
    "Posterior": "posterior",
    "fit": "fitting",
    "fit_many": "fitting",
    "load_posterior": "posterior",
    "optimum": "decisions.optimum",
    "read_runs": "runs",
    "runs_from_frame": "runs",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
