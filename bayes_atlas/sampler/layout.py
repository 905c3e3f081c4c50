"""A model's parameters as one vector: globals first, then a block of locals for each language."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer.util import unconstrain_fn

from bayes_atlas.sampler.signature import Signature

type Model = Callable[..., Any]
type Data = tuple[Any, ...]  # the model's arguments: covariates by name, loss

LOCAL = "language"  # plate whose members are independent given all other sites
POOL, NOISE = "pool", "noise"  # keys of a site's ``infer`` by which a model declares its role


class Population(NamedTuple):
    """The population of a partially pooled site, by its sites; the value of ``infer["pool"]``."""

    location: str | None  # None if the population is centred at zero
    scale: str


@dataclass(frozen=True)
class Site:
    """A latent site on its unconstrained scale."""

    name: str
    shape: tuple[int, ...]
    local: bool

    @property
    def width(self) -> int:
        """Number of coordinates, per language if the site is local."""
        return prod(self.shape[1:] if self.local else self.shape)


@dataclass(frozen=True)
class Pool:
    """Positions of a partially pooled site (see `bayes_atlas.modelling.pooling`) and its population in the vector."""

    members: tuple[int, ...]  # columns of the locals if `local`, else of the globals
    local: bool
    location: int | None  # among the globals; None if the population is centred at zero
    scale: int  # among the globals


@dataclass(frozen=True)
class Layout:
    """Positions of all latent sites in the vector. Hashable, as part of the cache key of compiled programs."""

    sites: tuple[Site, ...]
    languages: int  # 0 without locals
    dims: tuple[tuple[str, tuple[str, ...]], ...]  # dimension names of each site, including deterministic ones
    populations: tuple[tuple[str, Population], ...]  # population of each partially pooled site
    noise: tuple[str, ...]  # sites that are noise scales

    @classmethod
    def of(cls, model: Model, data: Data, *, blocks: bool = True) -> "Layout":
        """Lay out `model` from the shapes of `data`, without computing. Without `blocks`, all sites are global."""
        return _laid_out(model, Signature.of(data), blocks)

    @cached_property
    def globals(self) -> list[Site]:
        """Sites outside the language plate."""
        return [site for site in self.sites if not site.local]

    @cached_property
    def locals(self) -> list[Site]:
        """Sites inside the language plate."""
        return [site for site in self.sites if site.local]

    @property
    def width(self) -> int:
        """Number of globals."""
        return sum(site.width for site in self.globals)

    @property
    def block(self) -> int:
        """Number of locals of each language."""
        return sum(site.width for site in self.locals)

    @property
    def size(self) -> int:
        """Dimension of the vector."""
        return self.width + self.languages * self.block

    @property
    def coordinates(self) -> np.ndarray:
        """Name of the site at each position of the vector."""
        return np.array([name for name, _ in self.places])

    @property
    def places(self) -> list[tuple[str, tuple[int, ...]]]:
        """Site and index at each position of the vector."""
        first = [(site.name, index) for site in self.globals for index in np.ndindex(site.shape)]
        own = [
            (site.name, (language, *index))
            for language in range(self.languages)
            for site in self.locals
            for index in np.ndindex(site.shape[1:])
        ]
        return first + own

    def split(self, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Split a vector into globals ``(width,)`` and locals ``(languages, block)``."""
        return vector[: self.width], vector[self.width :].reshape(self.languages, self.block)

    def unravel(self, vector: jax.Array) -> dict[str, jax.Array]:
        """Return each site's unconstrained value."""
        shared, own = self.split(vector)
        values, at = {}, 0
        for site in self.globals:
            values[site.name] = shared[at : at + site.width].reshape(site.shape)
            at += site.width
        at = 0
        for site in self.locals:
            values[site.name] = own[:, at : at + site.width].reshape(site.shape)
            at += site.width
        return values

    def ravel(self, values: dict[str, jax.Array]) -> jax.Array:
        """Return the vector of unconstrained values by site."""
        parts = [values[site.name].reshape(-1) for site in self.globals]
        if self.locals:
            own = [values[site.name].reshape(self.languages, -1) for site in self.locals]
            parts.append(jnp.concatenate(own, axis=1).reshape(-1))
        return jnp.concatenate(parts)

    @cached_property
    def pools(self) -> dict[str, Pool]:
        """Partially pooled sites by name."""
        place: dict[str, tuple[bool, tuple[int, ...]]] = {}
        for part in (self.globals, self.locals):
            at = 0
            for site in part:
                place[site.name] = (site.local, tuple(range(at, at + site.width)))
                at += site.width
        populations, pools = dict(self.populations), {}
        for name, (local, members) in place.items():
            if population := populations.get(name):
                location = None if population.location is None else place[population.location][1][0]
                pools[name] = Pool(members, local, location, place[population.scale][1][0])
        return pools

    @property
    def scales(self) -> list[int]:
        """Positions of the pooling scales among the globals."""
        return sorted(pool.scale for pool in self.pools.values())


@lru_cache(maxsize=64)
def _laid_out(model: Model, signature: Signature, blocks: bool) -> Layout:
    traced: dict[str, dict[str, Any]] = {}

    def unconstrained(data: Data) -> dict[str, jax.Array]:
        seeded = handlers.seed(model, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(*data)
        traced.update(trace)
        values = {name: site["value"] for name, site in trace.items() if is_latent(site)}
        return unconstrain_fn(handlers.seed(model, jax.random.key(0)), data, {}, values)

    shapes = {name: value.shape for name, value in jax.eval_shape(unconstrained, signature.shapes).items()}
    dims = {
        name: tuple(frame.name for frame in sorted(site["cond_indep_stack"], key=lambda frame: frame.dim))
        for name, site in traced.items()
        if is_latent(site) or site["type"] == "deterministic"
    }
    local = {name: blocks and dims[name][:1] == (LOCAL,) and shapes[name][0] > 1 for name in shapes}
    return Layout(
        sites=tuple(Site(name, shapes[name], local[name]) for name in sorted(shapes)),
        languages=max((shapes[name][0] for name in shapes if local[name]), default=0),
        dims=tuple(dims.items()),
        populations=tuple((name, traced[name]["infer"][POOL]) for name in shapes if POOL in traced[name]["infer"]),
        noise=tuple(name for name in shapes if traced[name]["infer"].get(NOISE)),
    )


def is_latent(site: dict[str, Any]) -> bool:
    """Return True if a site of a trace is sampled, not observed."""
    return site["type"] == "sample" and not site["is_observed"]


def prior_centre(model: Model, layout: Layout, key: jax.Array, data: Data) -> jax.Array:
    """Return the vector with each site at the centre of its prior."""
    trace = handlers.trace(handlers.substitute(handlers.seed(model, key), substitute_fn=_middle)).get_trace(*data)
    values = {name: site["value"] for name, site in trace.items() if is_latent(site)}
    return layout.ravel(unconstrain_fn(handlers.seed(model, key), data, {}, values))


def _middle(site: dict[str, Any]) -> jax.Array | None:
    """Return the mean of a site's prior, or the median of a transformed one, if its base is symmetric."""
    if not is_latent(site):
        return None
    fn, transforms = site["fn"], list[Any]()
    while isinstance(fn, dist.TransformedDistribution | dist.ExpandedDistribution):
        if isinstance(fn, dist.TransformedDistribution):
            transforms = [*fn.transforms, *transforms]
        fn = fn.base_dist
    value = jnp.broadcast_to(fn.mean, site["fn"].shape())
    for transform in transforms:
        value = transform(value)
    return value
