"""Whether a stored posterior is still what its model's text describes.

The text itself does not decide: the log density that it gives does, at stored draws, on a made-up table.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.infer.util import log_density

from bayes_atlas.catalogue import ModelFile, read_model
from bayes_atlas.observations.kind import Covariates, Observations, get_kind, kind_name
from bayes_atlas.posterior import Posterior, Staleness
from bayes_atlas.sampler.platforms import precision, use_platform

PROBES = 3  # stored draws whose log density decides


def is_stale(posterior: Posterior) -> bool:
    """Whether the model's text no longer gives the log density that was recorded at stored draws.

    A model that asks for other covariates, unless it can do without, or has sites the stored draws lack, is stale too.
    Loads, and so executes, the model.

    Raises:
        InputError: the posterior's model is not to be found.
    """
    recorded = posterior.info.staleness
    use_platform("cpu")
    with precision("cpu"):
        model, languages = read_model(posterior.info.model), len(posterior.info.languages)
        if not set(recorded.covariates) <= set(model.covariates) <= {*recorded.covariates, *model.optional}:
            return True
        covariates, observed = made_up(recorded, languages)
        seeded = handlers.seed(model.function, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(**covariates, **{model.observed: observed})
        latent = {name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
        if not latent <= set(posterior.draws["posterior"].data_vars):
            return True
        now = _log_density(model, posterior.draws, languages, recorded)
    return not np.allclose(now, recorded.log_density, rtol=1e-4, atol=1e-2)


def probe(model: ModelFile, tree: xr.DataTree, data: Observations) -> Staleness:
    """What `is_stale` compares with later, of draws `tree` fitted to `data`."""
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
    """Log joint density at the stored draws, on made-up covariates and observed values."""
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
    """A table like the one that was fitted, drawn at random but always the same for a `seed`."""
    return get_kind(kind_name(shape.covariates)).made_up(shape, languages, seed)
