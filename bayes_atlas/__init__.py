"""Bayesian scaling laws for multilingual pretraining: how big, how much data, in which languages, and how sure.

    runs = read_runs("runs.csv")
    posterior = fit(runs, model="atlas")
    print(optimum(posterior, language="sw", compute=1e21).summary())

The public names are listed once, in ``__init__.pyi``. Each loads its module when first used: `fit` needs jax and
numpyro, reading a posterior and deciding do not.
"""

from typing import Any

import lazy_loader

_load, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("bayes-atlas")
    return _load(name)


def __dir__() -> list[str]:
    return _names()
