"""A model as the sampler calls it. Each model file has one function object, the cache key of compiled programs."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from numpyro.infer import Predictive

from bayes_atlas.catalogue import ModelFile
from bayes_atlas.sampler.handlers import Counted

PRIOR_DRAWS = 500


@lru_cache(maxsize=64)
def keyworded(model: ModelFile) -> Callable[..., Any]:
    """Return the model as a function of covariates by name and of the observed values."""

    def call(covariates: dict[str, Any], observed: Any) -> Any:
        return model.function(**covariates, **{model.observed: observed})

    return call


@lru_cache(maxsize=64)
def counted(model: ModelFile) -> Callable[..., Any]:
    """Return the same function with a third argument: which curves count in the likelihood."""

    def call(covariates: dict[str, Any], observed: Any, counts: jax.Array) -> Any:
        return Counted(keyworded(model), counts)(covariates, observed)

    return call


@lru_cache(maxsize=64)
def prior_draws_of(model: ModelFile) -> Callable[..., dict[str, jax.Array]]:
    """Return a compiled function that draws from the model's prior."""
    return jax.jit(Predictive(keyworded(model), num_samples=PRIOR_DRAWS))
