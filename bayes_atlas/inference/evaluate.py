"""Evaluation of a model at the draws of its posterior: prior densities, predictive draws, weights of runs.

The fitted data come from the groups ``constant_data`` and ``observed_data``. A posterior has these groups unless it was
stored without data. Running a model executes its file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.infer import Predictive
from numpyro.infer.inspect import get_dependencies
from numpyro.infer.util import compute_log_probs

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import ModelFile, NameOrPath
from bayes_atlas.errors import InputError
from bayes_atlas.inference.staleness import made_up, model_of
from bayes_atlas.observations.kind import MissingError, get_kind, kind_name
from bayes_atlas.posterior import Posterior
from bayes_atlas.sampler.handlers import is_observation
from bayes_atlas.sampler.platforms import precision, use_platform
from bayes_atlas.sampler.signature import Signature

SAMPLE = ("chain", "draw")

type Model = Callable[..., Any]


class NotStoredError(InputError):
    """The content of a stored posterior is not enough for a computation; the message names the missing part."""


def log_prior(model: Model, covariates: Mapping[str, Any], draws: xr.Dataset) -> xr.Dataset:
    """Return the log prior density at `draws` of each top-level parameter: the density that power-scaling scales.

    A parameter is at the top level if it is in no plate or its prior depends on no other parameter. A parameter drawn
    around a population is not. Scaling its density too would pool languages more: another model, not another prior.

    Args:
        model: the model's function.
        covariates: by name, padded or not; losses are not needed.
        draws: group ``posterior``.

    Returns:
        Site -> ``(chain, draw)``, summed over the members of a site.
    """
    shapes, names = _at_the_top(model, Signature.of(dict(covariates)))
    values = {name: draws[name].transpose(*SAMPLE, ...).to_numpy().astype(float) for name in shapes if name in draws}
    top = tuple(name for name in names if name in values)
    padded = {name: _padded(each, shapes[name]) for name, each in values.items()}
    densities = _densities_of(model, top)(padded, dict(covariates))
    found = {name: _summed(np.asarray(each), values[name].shape).astype(np.float32) for name, each in densities.items()}
    return xr.Dataset({name: (SAMPLE, each) for name, each in found.items()}, {name: draws[name] for name in SAMPLE})


@lru_cache(maxsize=64)
def _at_the_top(model: Model, signature: Signature) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Return the shapes of the sampled sites, given covariates of these shapes, and the names of top-level sites."""
    parents: dict[str, Any] = {}
    jax.eval_shape(
        lambda each: parents.update(get_dependencies(model, (), each)["prior_dependencies"]), signature.shapes
    )
    traced = _sites(handlers.seed(model, jax.random.key(0)), signature.shapes)
    shapes = {name: site["value"].shape for name, site in traced.items() if site["type"] == "sample"}
    return shapes, [name for name in shapes if not traced[name]["cond_indep_stack"] or set(parents[name]) == {name}]


def _padded(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Pad values ``(chain, draw, ..)`` to a site of `shape` in padded data, by repeating the last member."""
    missing = [more - there for more, there in zip(shape, values.shape[2:], strict=True)]
    return np.pad(values, [(0, 0), (0, 0), *((0, count) for count in missing)], mode="edge")


def _summed(densities: Floats, shape: tuple[int, ...]) -> Floats:
    """Sum ``(chain, draw)`` over the members of a site, without padding; `shape` is that of the site's values."""
    real = densities[tuple(slice(size) for size in shape[: densities.ndim])]
    return real.sum(axis=tuple(range(2, densities.ndim)))


@lru_cache(maxsize=64)
def _densities_of(model: Model, names: tuple[str, ...]) -> Callable[..., dict[str, jax.Array]]:
    """Return a compiled function: values ``(chain, draw, ..)`` by site, covariates -> log densities of `names`."""

    def each(sites: dict[str, jax.Array], covariates: dict[str, Any]) -> dict[str, jax.Array]:
        densities, _ = compute_log_probs(handlers.seed(model, jax.random.key(0)), (), covariates, sites, False)
        return {name: densities[name] for name in names}

    return jax.jit(jax.vmap(jax.vmap(each, (0, None)), (0, None)))


def _sites(model: Model, arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sites of a seeded model given arrays of these shapes, without computing anything."""
    found: dict[str, dict[str, Any]] = {}
    jax.eval_shape(lambda arguments: found.update(handlers.trace(model).get_trace(**arguments)), dict(arguments))
    return found


def stored_log_prior(posterior: Posterior, model: NameOrPath | None = None) -> xr.Dataset:
    """Return the group ``log_prior``, computed from the model if an earlier version did not store it.

    Args:
        posterior: the posterior.
        model: its model file, if it is no shipped model; see `model_of`, also for errors.

    Raises:
        NotStoredError: the model's priors depend on a table, and the table is not stored.
    """
    if "log_prior" in posterior.draws:
        return posterior.draws["log_prior"].to_dataset()
    use_platform("cpu")
    with precision("cpu"):
        function = model_of(posterior, model).function
        draws = posterior.draws["posterior"].to_dataset()
        if not _data_missing(posterior):
            return log_prior(function, _restored(posterior)[0], draws)
        shape, languages = posterior.info.staleness, len(posterior.info.languages)
        first, second = (log_prior(function, made_up(shape, languages, seed)[0], draws) for seed in (0, 1))
    # All made-up tables of a kind have the same units.
    in_table_units = get_kind(kind_name(shape.covariates)).in_table_units
    if in_table_units or shape.covariates.get("tau_prior") or not first.equals(second):
        raise NotStoredError("the group log_prior, as the model's priors depend on the table; fit again")
    return first


@dataclass(frozen=True)
class Replay:
    """The model of a posterior, with the fitted data."""

    posterior: Posterior
    file: ModelFile
    covariates: Mapping[str, Any]
    data: Any  # observed values in the form that the model takes: losses, scores, ..

    @classmethod
    def of(cls, posterior: Posterior, model: NameOrPath | None = None) -> "Replay":
        """Load, and thereby execute, the model of `posterior`; see `model_of` for `model`.

        Raises:
            NotStoredError: the posterior was stored without data.
        """
        if missing := _data_missing(posterior):
            raise NotStoredError(missing)
        use_platform("cpu")
        covariates, data = _restored(posterior)
        return cls(posterior, model_of(posterior, model), covariates, data)

    @property
    def model(self) -> Model:
        """The model's function."""
        return self.file.function

    @property
    def _arguments(self) -> dict[str, Any]:
        return {**self.covariates, self.file.observed: self.data}

    @cached_property
    def _observed(self) -> dict[str, Any]:
        """The only observed site of the model, as traced."""
        with precision("cpu"):
            traced = _sites(handlers.seed(self.model, jax.random.key(0)), self._arguments)
        sites = [site for site in traced.values() if is_observation(site)]
        if len(sites) != 1:
            names = ", ".join(site["name"] for site in sites) or "none"
            raise NotStoredError(f"a model that observes one site, and this one observes {names}")
        return sites[0]

    @property
    def site(self) -> str:
        """Name of the observed site."""
        return str(self._observed["name"])

    @cached_property
    def observed(self) -> Floats:
        """Observed values on the scale of the site, ``(run, step)`` or in the shape of the table; NaN if unobserved."""

        def value(arguments: dict[str, Any]) -> jax.Array:
            seeded = handlers.seed(self.model, jax.random.key(0))
            return handlers.trace(seeded).get_trace(**arguments)[self.site]["value"]

        (stored,) = self.posterior.draws["observed_data"].to_dataset().data_vars.values()
        with precision("cpu"):
            return np.where(np.isfinite(stored), np.asarray(jax.jit(value)(self._arguments)), np.nan)

    @property
    def weighs(self) -> bool:
        """True if the noise distribution weighs runs."""
        return hasattr(self._observed["fn"], "weight")

    def predictive(self, group: str, count: int, seed: int = 0) -> Floats:
        """Draw the observed site ``(draw, run, step)`` at up to `count` draws of `group`: posterior or prior."""
        with precision("cpu"):
            drawn = Predictive(self.model, self._draws(group, count), return_sites=[self.site])
            return np.asarray(jax.jit(drawn)(jax.random.key(seed), **self.covariates)[self.site])

    def weights(self, count: int) -> Floats:
        """Return the weight of each run, ``(run,)``: the mean of `CurveStudentT.weight` over up to `count` draws."""

        def mean(draws: dict[str, jax.Array], arguments: dict[str, Any]) -> jax.Array:
            def each(sites: dict[str, jax.Array]) -> jax.Array:
                substituted = handlers.substitute(handlers.seed(self.model, jax.random.key(0)), data=sites)
                site = handlers.trace(substituted).get_trace(**arguments)[self.site]
                return site["fn"].weight(site["value"])

            return jax.lax.map(each, draws).mean(axis=0)

        with precision("cpu"):
            return np.asarray(jax.jit(mean)(self._draws("posterior", count), self._arguments))

    def _draws(self, group: str, count: int) -> dict[str, Floats]:
        """Return up to `count` draws, evenly spaced over all chains: site -> ``(draw, ..)``."""
        stacked = self.posterior.draws[group].to_dataset().stack(sample=SAMPLE, create_index=False)
        size = stacked.sizes["sample"]
        chosen = stacked.isel(sample=np.linspace(0, size - 1, min(count, size)).round().astype(int))
        return {str(name): v.transpose("sample", ...).to_numpy().astype(float) for name, v in chosen.items()}


def _data_missing(posterior: Posterior) -> str:
    """Return what the posterior lacks to restore the data, in words; empty if it lacks nothing."""
    missing = [name for name in ("observed_data", "constant_data") if name not in posterior.draws]
    if missing:
        return f"the runs, which were not stored (groups {', '.join(missing)}); fit again without --without-data"
    try:
        _restored(posterior)
    except MissingError as error:
        return str(error)
    return ""


def _restored(posterior: Posterior) -> tuple[dict[str, Any], Floats]:
    """Return the fitted covariates and observed values."""
    given = posterior.info.staleness.covariates
    constant, observed = (posterior.draws[name].to_dataset() for name in ("constant_data", "observed_data"))
    return get_kind(kind_name(given)).restore(constant, observed, given)
