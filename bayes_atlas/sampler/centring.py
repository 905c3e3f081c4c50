"""Partial (non-)centring weights of pooled parameters."""

from collections.abc import Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_atlas.arrays import Array
from bayes_atlas.sampler.layout import Layout


class Centring(NamedTuple):
    """Partial non-centring of pooled parameters.

    A parameter u of location m and log scale s is sampled as v, with ``u = m + (v - m) exp(weight (s - s0))``. Weight 0
    is the centred parameterisation, right for parameters that the runs determine. Weight 1 is the non-centred one,
    right for all others. At s = s0 u equals v, so the metric found there serves both.
    """

    shared: Array  # weight (width,), 0 where the global is not a pooled parameter
    own: Array  # weight (languages, block)
    start: Array  # s0 (width,), at the positions of the scales

    @classmethod
    def none(cls, layout: Layout) -> "Centring":
        """Return the fully centred parameterisation."""
        own = jnp.zeros((layout.languages, layout.block))
        return cls(jnp.zeros(layout.width), own, jnp.zeros(layout.width))

    @classmethod
    def of(cls, layout: Layout, mode: jax.Array, curvature_shared: jax.Array, curvature_own: jax.Array) -> "Centring":
        """Return weights that non-centre each parameter as far as the runs are uninformative about it.

        The weight is the prior's share of the parameter's own curvature at the mode, with all others held fixed. A
        parameter that the runs tie tightly to others therefore stays centred, however wide its marginal: moving it with
        its scale would tear it off the others.

        Args:
            layout: of the vector.
            mode: the posterior's mode.
            curvature_shared: ``(width,)`` own curvature of each global.
            curvature_own: ``(languages, block)`` own curvature of each local.
        """
        start, _ = layout.split(mode)
        shared, own = jnp.zeros(layout.width), jnp.zeros((layout.languages, layout.block))
        for pool in layout.pools.values():
            prior, members = jnp.exp(-2 * start[pool.scale]), jnp.array(pool.members)
            if pool.local:
                own = own.at[:, members].set(jnp.clip(prior / jnp.abs(curvature_own[:, members]), 0, 1))
            else:
                shared = shared.at[members].set(jnp.clip(prior / jnp.abs(curvature_shared[members]), 0, 1))
        return cls(shared, own, start)

    def rescaled(self, scales: np.ndarray, layout: Layout) -> "Centring":
        """Return the centring for log scales `scales` ``(width,)``, at their positions among the globals.

        The mode can misplace a scale about which the runs say little. The runs' information about each parameter,
        without the prior, stays the same. Leading axes are data sets.
        """
        shared, own, start = (np.array(part) for part in self)
        for pool in layout.pools.values():
            weight, members = own if pool.local else shared, list(pool.members)
            factor = np.exp(2 * (scales - start)[..., pool.scale])
            factor = factor.reshape(factor.shape + (1,) * (weight.ndim - factor.ndim))
            weight[..., members] /= weight[..., members] + (1 - weight[..., members]) * factor
            start[..., pool.scale] = scales[..., pool.scale]
        return Centring(shared, own, start)

    def apply(self, v: jax.Array, layout: Layout) -> tuple[jax.Array, jax.Array]:
        """Map v to the vector u; return u and the log determinant of the Jacobian."""
        shared, own = layout.split(v)
        apart, stretch = self._stretch(shared, self.shared, layout, local=False)
        apart_own, stretch_own = self._stretch(shared, self.own, layout, local=True)
        vector = jnp.concatenate([_move(shared, apart, stretch), _move(own, apart_own, stretch_own).reshape(-1)])
        return vector, stretch.sum() + stretch_own.sum()

    def invert(self, u: jax.Array, layout: Layout) -> jax.Array:
        """Map a vector u to v."""
        shared, own = layout.split(u)  # locations and scales are the same in u and v
        location, stretch = self._stretch(shared, self.shared, layout, local=False)
        location_own, stretch_own = self._stretch(shared, self.own, layout, local=True)
        moved = _move(own, location_own, -stretch_own)
        return jnp.concatenate([_move(shared, location, -stretch), moved.reshape(-1)])

    def reversed(self, layout: Layout, names: Collection[str]) -> "Centring":
        """Return the centring with weights of 1 - weight for the pools `names`. Leading axes are data sets."""
        shared, own = np.array(self.shared), np.array(self.own)
        for name in names:
            pool = layout.pools[name]
            weight = own if pool.local else shared
            weight[..., list(pool.members)] = 1 - weight[..., list(pool.members)]
        return Centring(shared, own, self.start)

    def _stretch(
        self, shared: jax.Array, weight: jax.Array, layout: Layout, *, local: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Return locations and log stretches by column, of the globals or the locals."""
        columns = weight.shape[-1]
        scale, location, located = np.zeros(columns, int), np.zeros(columns, int), np.zeros(columns)
        for pool in layout.pools.values():
            if pool.local == local:
                members = list(pool.members)
                scale[members] = pool.scale
                if pool.location is not None:
                    location[members], located[members] = pool.location, 1.0
        return shared[location] * located, weight * (shared[scale] - self.start[scale])


def _move(v: jax.Array, location: jax.Array, stretch: jax.Array) -> jax.Array:
    return location + (v - location) * jnp.exp(stretch)
