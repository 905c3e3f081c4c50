"""Partial pooling: a language's parameter is drawn around a common location with a learned scale.

Languages with few runs are shrunk towards the others; languages with many runs are hardly shrunk. `pooled` samples such
a parameter. A model that samples a pooled site itself must declare the sites of its population with
``infer=pooled_from(location, scale)``. The sampler then chooses between centred and non-centred coordinates. On the
unconstrained scale, such a site must be distributed around the location, or around zero if the location is None, in
units of the scale. A noise scale is declared with ``infer=NOISE_SCALE``. This keeps the search for a start away from
zero noise.
"""

from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import biject_to

from bayes_atlas.observations.curves import Curves
from bayes_atlas.observations.normal_prior import Prior
from bayes_atlas.sampler.layout import NOISE, POOL, Population

NOISE_SCALE = {NOISE: True}


def pooled_from(location: str | None, scale: str) -> dict[str, Any]:
    """Return the ``infer`` of a site pooled around the site `location`, or zero, in units of the site `scale`."""
    return {POOL: Population(location, scale)}


def pooled(
    name: str,
    curves: Curves,
    location: dist.Distribution,
    scale: float | None,
    *,
    support: constraints.Constraint = constraints.real,
    sources: int | None = None,
    prior: Prior | None = None,
    noise: bool = False,
) -> jax.Array:
    """Sample a parameter of every language, or of every source of every language, partially pooled.

    Args:
        name: site name; the sites ``<name>_location`` and ``<name>_scale`` are the population's.
        curves: the layout, for the number of languages.
        location: prior of the population's location, on the unconstrained scale.
        scale: unit of the pooling scale, whose prior is log-normal with 90 % between .2 and 1.9 times this. The prior
            avoids zero: there languages are equal, no runs can show that, and the sampler gets stuck. None pools
            completely, for a parameter about which the data are uninformative.
        support: support of the parameter; it is normal over languages before the bijection from the real line
            (``positive``: log-normal; ``unit_interval``: logit-normal).
        sources: number of named sources, if each has its own value.
        prior: normal priors, on the unconstrained scale, that replace the population's for some members.
        noise: True for a noise scale.

    Returns:
        ``(language,)`` or ``(language, source)``. With complete pooling or a single member, every value equals the
        location and no scale is sampled.
    """
    transform = biject_to(support)
    shape = (curves.languages,) if sources is None else (curves.languages, sources)
    apart = scale is not None and shape != (1,)
    declared = NOISE_SCALE if noise else {}
    centre = numpyro.sample(f"{name}_location", location, infer={} if apart else declared)
    spread = None
    if scale is not None and apart:
        spread = numpyro.sample(f"{name}_scale", dist.LogNormal(jnp.log(0.6 * scale), 0.7))
    with ExitStack() as plates:
        for dimension, (plate, size) in enumerate(zip(("language", "source"), shape, strict=False)):
            plates.enter_context(numpyro.plate(plate, size, dim=dimension - len(shape)))
        if spread is None:
            return numpyro.deterministic(name, jnp.broadcast_to(transform(centre), shape))
        if prior is not None:
            centre, spread = (
                jnp.where(prior.given, own, shared) for own, shared in ((prior.mean, centre), (prior.sd, spread))
            )
        drawn = dist.TransformedDistribution(dist.Normal(centre, spread), transform)
        return numpyro.sample(name, drawn, infer=pooled_from(f"{name}_location", f"{name}_scale") | declared)
