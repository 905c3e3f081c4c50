"""Whether a stored posterior is still what its model's text describes.

What decides is not the text but the log density it gives, at stored draws, of made-up runs that need no run table.
"""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.infer.util import log_density

from bayes_atlas.catalogue import covariates_of, load_model, observed_by, optional_covariates
from bayes_atlas.observations.crossings import CrossingData, made_up_crossings
from bayes_atlas.observations.curves import PARTNER, STARTED, Curves, Group, ModelData
from bayes_atlas.observations.normal_prior import Prior
from bayes_atlas.observations.pairs import PairData, made_up_pairs
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
        module, languages = load_model(posterior.info.model), len(posterior.info.languages)
        asked = covariates_of(module.model)
        if not set(recorded.covariates) <= set(asked) <= {*recorded.covariates, *optional_covariates(module.model)}:
            return True
        covariates, loss = made_up(recorded, languages)
        seeded = handlers.seed(module.model, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(**covariates, **{observed_by(module.model): loss})
        latent = {name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
        if not latent <= set(posterior.draws["posterior"].data_vars):
            return True
        now = _log_density(module.model, posterior.draws, languages, recorded)
    return not np.allclose(now, recorded.log_density, rtol=1e-4, atol=1e-2)


def probe(module: ModuleType, tree: xr.DataTree, data: ModelData | PairData | CrossingData) -> Staleness:
    """What `is_stale` compares with later, of draws `tree` fitted to `data`."""
    posterior = tree["posterior"]
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    of_curves: dict[str, Any] = {"sources": 0, "sizes": 0, "repeated": False, "epochs": False}
    if isinstance(data, ModelData):
        of_curves = {
            "sources": len(data.coords["source"]),
            "sizes": data.curves.size.groups,
            "repeated": data.curves.repeated,
            "epochs": data.curves.epochs is not None,
        }
    shape = Staleness(
        draws=[(number % chains, number * draws // PROBES) for number in range(PROBES)],
        log_density=[],
        covariates={name: value is not None for name, value in data.covariates.items()},
        layout={} if isinstance(data, ModelData) else data.layout,
        **of_curves,
    )
    density = _log_density(module.model, tree, len(data.languages), shape)
    return shape.model_copy(update={"log_density": density})


def _log_density(model: Callable[..., Any], tree: xr.DataTree, languages: int, shape: Staleness) -> list[float]:
    """Log joint density at the stored draws, on made-up covariates and losses."""
    covariates, loss = made_up(shape, languages)
    posterior = tree["posterior"].to_dataset()
    values = []
    for chain, draw in shape.draws:
        stored = posterior.isel(chain=chain, draw=draw)
        sites = {str(name): values.to_numpy().astype(float) for name, values in stored.items()}
        values.append(float(_density_of(model)(sites, covariates | {observed_by(model): loss})))
    return values


@lru_cache(maxsize=64)
def _density_of(model: Callable[..., Any]) -> Callable[..., jax.Array]:
    return jax.jit(lambda sites, arguments: log_density(model, (), arguments, sites)[0])


def made_up(shape: Staleness, languages: int, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    """Curves that visit every language and model size, with covariates log-normal around their reference.

    For models of other tables, what these make up themselves, whatever the `seed`.
    """
    if "pairs" in shape.covariates:
        pairs, score = made_up_pairs(languages, **shape.layout)
        return {"pairs": pairs}, score
    if "crossings" in shape.covariates:
        crossings, log_tokens = made_up_crossings(languages)
        return {"crossings": crossings}, log_tokens
    rng = np.random.default_rng(seed)
    curves, steps = max(languages, shape.sizes), 2 if shape.repeated else 1
    covariates: dict[str, Any] = {}
    for name, given in shape.covariates.items():
        if name == "tau_prior" and given:
            some = rng.uniform(size=(languages, shape.sources)) < 0.5
            covariates[name] = Prior(some, np.where(some, 0.1, 0.0), np.where(some, 0.05, 1.0))
            continue
        size = (curves, steps, shape.sources) if name.startswith("source_") else (curves, steps)
        covariates[name] = np.exp(rng.normal(size=size)) if given else None
        if name in (STARTED, PARTNER):  # by turns from none of the sources and from each
            start = np.arange(curves) % (shape.sources + 1)
            covariates[name] = np.eye(shape.sources + 1)[start, None, 1:].repeat(steps, axis=1)
    covariates["curves"] = Curves(
        language=Group.of(np.arange(curves) % languages),
        size=Group.of(np.arange(curves) % shape.sizes),
        observed=np.ones((curves, steps), dtype=bool),
        stage=np.tile(np.log([2.0, 1.0])[-steps:], (curves, 1)),
        epochs=np.abs(rng.normal(size=(curves, steps))) if shape.epochs else None,
    )
    return covariates, np.exp(1 + 0.1 * rng.normal(size=(curves, steps)))
