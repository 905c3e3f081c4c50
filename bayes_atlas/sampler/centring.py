"""How far each pooled parameter is sampled apart from its population."""

from collections.abc import Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_atlas.sampler.layout import Array, Layout
from bayes_atlas.sampler.metric import Curvature, inverse


class Part(NamedTuple):
    """Globals ``(width,)``, or locals ``(languages, block)``: what is known of each; weight 0 if it is not pooled."""

    weight: Array  # share of the prior in what is known of it, at the start
    origin: Array  # where it is there


class Centring(NamedTuple):
    """A pooled parameter u is sampled as v, of which neither mean nor spread hangs on its population's scale.

    Were u told by its prior, of location m and scale s, and by runs that are normal in it, it would have a spread that
    grows with s up to what the runs leave open, and a mean that leans the less to m the larger s is. v is u moved and
    stretched to where it would be at the location and scale of the start. So it is u itself (centred) where runs alone
    determine it, at weight 0, and in units of the scale (non-centred) where they do not, at weight 1. The locals that
    the runs tie to it go along.

    Towards smaller scales v is stretched by a power of the scale instead, its weight, which shrinks it less than that
    posterior would: there runs are not normal in what the population has drawn far from where they would have it, and
    chains diverge.
    """

    shared: Part
    own: Part
    along: Array  # (languages, block, block) how far locals (rows) go along with each (columns); 1 with themselves
    start: Array  # locations and log scales (width,), at their places among the globals

    @classmethod
    def none(cls, layout: Layout) -> "Centring":
        """Everything centred."""
        shared, own = jnp.zeros(layout.width), jnp.zeros((layout.languages, layout.block))
        along = jnp.tile(jnp.eye(layout.block), (layout.languages, 1, 1))
        return cls(Part(shared, shared), Part(own, own), along, shared)

    @classmethod
    def of(cls, layout: Layout, mode: jax.Array, curvature: Curvature) -> "Centring":
        """As far apart as the runs say nothing of each parameter: the prior's share in what is known of it at the mode.

        Of globals, with all others held. Of a language's locals, with the globals held and those locals that are looser
        still.
        """
        start, own = layout.split(mode)
        prior_shared, prior_own = jnp.zeros(layout.width), jnp.zeros((layout.languages, layout.block))
        for pool in layout.pools.values():
            members, precision = jnp.array(pool.members), jnp.exp(-2 * start[pool.scale])
            if pool.local:
                prior_own = prior_own.at[:, members].set(precision)
            else:
                prior_shared = prior_shared.at[members].set(precision)
        shared = Part(jnp.clip(prior_shared / jnp.abs(jnp.diag(curvature.shared)), 0, 1), start)
        variance, along = jax.vmap(_in_turn)(curvature.own, prior_own)
        return cls(shared, Part(jnp.clip(prior_own * variance, 0, 1), own), along, start)

    def anchored(self, start: np.ndarray, layout: Layout) -> "Centring":
        """As it would be had it been found at other locations and scales ``(width,)``, with the same runs.

        What a mode says of a scale can be far off, where the runs say little. What goes along stays as it was found.
        Leading axes are those of data sets.
        """
        parts = {local: Part(*map(np.array, part)) for local, part in ((False, self.shared), (True, self.own))}
        for pool in layout.pools.values():
            (weight, origin), members = parts[pool.local], list(pool.members)
            was, now = (_of_population(values, pool.location, weight) for values in (self.start, start))
            prior = np.exp(-2 * _of_population(start - self.start, pool.scale, weight))
            share = weight[..., members]
            precision = _precision(share, prior)
            origin[..., members] = now + (origin[..., members] - was - (1 - share) * (now - was)) / precision
            weight[..., members] = np.clip(share * prior / precision, 0, 1)
        return self._replace(shared=parts[False], own=parts[True], start=np.array(start))

    def apply(self, v: jax.Array, layout: Layout) -> tuple[jax.Array, jax.Array]:
        """The vector u and the log determinant of its Jacobian."""
        shared, own = layout.split(v)
        mean, moved, stretch = self._population(shared, self.shared, layout, local=False)
        mean_own, moved_own, stretch_own = self._population(shared, self.own, layout, local=True)
        away = moved_own + (own - mean_own) * jnp.exp(stretch_own) - self.own.origin
        along = self.own.origin + (self.along * away[:, None, :]).sum(axis=-1)
        u = jnp.concatenate([moved + (shared - mean) * jnp.exp(stretch), along.reshape(-1)])
        return u, stretch.sum() + stretch_own.sum()

    def invert(self, u: jax.Array, layout: Layout) -> jax.Array:
        """The v of a vector u."""
        shared, own = layout.split(u)  # locations and scales are the same in u and v
        mean, moved, stretch = self._population(shared, self.shared, layout, local=False)
        mean_own, moved_own, stretch_own = self._population(shared, self.own, layout, local=True)
        away = jnp.linalg.solve(self.along, (own - self.own.origin)[..., None])[..., 0]
        apart = mean_own + (self.own.origin + away - moved_own) * jnp.exp(-stretch_own)
        return jnp.concatenate([mean + (shared - moved) * jnp.exp(-stretch), apart.reshape(-1)])

    def reversed(self, layout: Layout, names: Collection[str]) -> "Centring":
        """Pools of these names as far apart as they were together, around their location; leading axes: data sets."""
        parts = {local: Part(*map(np.array, part)) for local, part in ((False, self.shared), (True, self.own))}
        for name in names:
            pool = layout.pools[name]
            (weight, origin), members = parts[pool.local], list(pool.members)
            weight[..., members] = 1 - weight[..., members]
            origin[..., members] = _of_population(self.start, pool.location, weight)
        return self._replace(shared=parts[False], own=parts[True])

    def _population(
        self, shared: jax.Array, part: Part, layout: Layout, *, local: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of the globals or the locals: means of v and of u, and the log spread of u in units of that of v."""
        columns = part.weight.shape[-1]
        scale, location = np.zeros(columns, int), np.zeros(columns, int)
        pooled, located = np.zeros(columns), np.zeros(columns)
        for pool in layout.pools.values():
            if pool.local == local:
                members = list(pool.members)
                scale[members], pooled[members] = pool.scale, 1.0
                if pool.location is not None:
                    location[members], located[members] = pool.location, 1.0
        weight = part.weight
        wider = (shared - self.start)[scale]
        narrower = jnp.minimum(wider, 0.0)
        precision = _precision(weight, jnp.exp(2 * (narrower - wider)))
        stretch = weight * narrower - jnp.log(precision) / 2
        now, then = ((values[location] * located) for values in (shared, self.start))
        offset = pooled * (part.origin - then - (1 - weight) * (now - then))
        return now + offset, now + offset * jnp.exp(2 * stretch), stretch


def _of_population(values: Array, place: int | None, like: np.ndarray) -> np.ndarray:
    """What stands at a place among globals ``(.., width)``, else 0, ready to meet members in an array like that."""
    at = np.zeros(values.shape[:-1]) if place is None else np.asarray(values)[..., place]
    return at.reshape(at.shape + (1,) * (like.ndim - at.ndim))


def _precision(weight: Array, prior: Array) -> Array:
    """Of a normal posterior whose `prior` is so many times as precise as at the start, in units of then."""
    return weight * prior + (1 - weight)


def _in_turn(curvature: jax.Array, prior: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Variances of a language's locals given those that are looser, and how all go along with each that is pooled.

    The looser, the larger the `prior` precision's share in what is known of it; 0 where it is not pooled.
    """
    unit = jnp.where(prior > 0, prior, 1.0) ** -0.5
    covariance = inverse(curvature * unit[:, None] * unit) * unit[:, None] * unit
    order = jnp.argsort(-prior * jnp.diag(covariance))
    back = jnp.argsort(order)
    factor = jnp.linalg.cholesky(covariance[order][:, order])
    spread = jnp.diag(factor)
    along = jnp.where(prior > 0, (factor / spread)[back][:, back], jnp.eye(len(prior)))
    return (spread**2)[back], along
