"""A model's function as the sampler calls it: one object for each model, by which compiled programs are found."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from numpyro.infer import Predictive

from bayes_atlas.catalogue import observed_by
from bayes_atlas.sampler import Counted

PRIOR_DRAWS = 500


@lru_cache(maxsize=64)
def keyworded(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model as the sampler calls it; the same one for the same model, by which compiled programs are found."""

    def call(covariates: dict[str, Any], observed: Any) -> Any:
        return model(**covariates, **{observed_by(model): observed})

    return call


@lru_cache(maxsize=64)
def counted(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model as the sampler calls it, that is told which curves count."""

    def call(covariates: dict[str, Any], observed: Any, counts: jax.Array) -> Any:
        return Counted(keyworded(model), counts)(covariates, observed)

    return call


@lru_cache(maxsize=64)
def prior_draws_of(model: Callable[..., Any]) -> Callable[..., dict[str, jax.Array]]:
    """Draws of a model's prior."""
    return jax.jit(Predictive(keyworded(model), num_samples=PRIOR_DRAWS))
