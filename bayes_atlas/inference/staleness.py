"""Staleness: a stored posterior no longer agrees with the text of its model.

The test compares log densities at stored draws, on a made-up table. The text itself is not compared.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.infer.util import log_density

from bayes_atlas.catalogue import ModelFile, NameOrPath, model_names, read_model
from bayes_atlas.errors import InputError
from bayes_atlas.folder.info import Staleness
from bayes_atlas.observations.kind import Covariates, Observations, get_kind, kind_name
from bayes_atlas.posterior import Posterior
from bayes_atlas.sampler.platforms import precision, use_platform


class ModelNotNamedError(InputError):
    """The model of a posterior lies in a file that nobody asked to execute."""


PROBES = 3  # number of stored draws whose log density is compared


def model_of(posterior: Posterior, model: NameOrPath | None = None) -> ModelFile:
    """Return the model of a posterior: the shipped one of that name, or the file `model`.

    A posterior is data, and may come from anywhere: a file that only its record names is not executed.

    Raises:
        ModelNotNamedError: the model is no shipped one, and `model` is None.
        InputError: there is no such model file.
    """
    named = posterior.info.model
    if model is None and named not in model_names():
        raise ModelNotNamedError(
            f"the model file of {posterior.name}, {named}, which is executed only if you name it yourself: read it, "
            f"then give its path (--model {named}; model=... in Python)"
        )
    return read_model(named if model is None else model)


def is_stale(posterior: Posterior, model: NameOrPath | None = None) -> bool:
    """Return True if the model's text no longer gives the recorded log density at the stored draws.

    A posterior is also stale if its model requires other covariates, or has sites that the stored draws lack. Loads,
    and thereby executes, the model.

    Args:
        posterior: the posterior.
        model: its model file, if it is no shipped model; see `model_of`, also for errors.
    """
    recorded = posterior.info.staleness
    use_platform("cpu")
    with precision("cpu"):
        file, languages = model_of(posterior, model), len(posterior.info.languages)
        if not set(recorded.covariates) <= set(file.covariates) <= {*recorded.covariates, *file.optional}:
            return True
        covariates, observed = made_up(recorded, languages)
        seeded = handlers.seed(file.function, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(**covariates, **{file.observed: observed})
        latent = {name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
        if not latent <= set(posterior.draws["posterior"].data_vars):
            return True
        now = _log_density(file, posterior.draws, languages, recorded)
    return not np.allclose(now, recorded.log_density, rtol=1e-4, atol=1e-2)


def probe(model: ModelFile, tree: xr.DataTree, data: Observations) -> Staleness:
    """Return the record that `is_stale` compares with later, for draws `tree` fitted to `data`."""
    posterior = tree["posterior"]
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    shape = Staleness(
        draws=[(number % chains, number * draws // PROBES) for number in range(PROBES)],
        log_density=[],
        covariates={name: value is not None for name, value in data.covariates.items()},
        **data.probe(),
    )
    density = _log_density(model, tree, len(data.languages), shape)
    return shape.model_copy(update={"log_density": density})


def _log_density(model: ModelFile, tree: xr.DataTree, languages: int, shape: Staleness) -> list[float]:
    """Return the log joint density at the stored draws, on made-up covariates and observed values."""
    covariates, observed = made_up(shape, languages)
    posterior = tree["posterior"].to_dataset()
    values = []
    for chain, draw in shape.draws:
        stored = posterior.isel(chain=chain, draw=draw)
        sites = {str(name): values.to_numpy().astype(float) for name, values in stored.items()}
        values.append(float(_density_of(model)(sites, covariates | {model.observed: observed})))
    return values


@lru_cache(maxsize=64)
def _density_of(model: ModelFile) -> Callable[..., jax.Array]:
    return jax.jit(lambda sites, arguments: log_density(model.function, (), arguments, sites)[0])


def made_up(shape: Staleness, languages: int, seed: int = 0) -> tuple[Covariates, np.ndarray]:
    """Make up a table like the fitted one, drawn at random from `seed`."""
    return get_kind(kind_name(shape.covariates)).made_up(shape, languages, seed)
