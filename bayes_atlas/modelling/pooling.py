"""Partial pooling: a language's parameter is drawn around a common location with a learned scale.

Languages with few runs borrow from the rest, and those with many keep their own. `pooled` does all of it. A model that
samples a pooled site by itself declares it with ``infer=pooled_from(location, scale)``, naming the sites of its
population: the sampler then chooses between centred and non-centred coordinates for it. On the unconstrained scale the
site must be distributed around the location, or around zero where there is none, in units of the scale. A scale of
noise declares itself with ``infer=NOISE_SCALE``, which keeps the search for a start away from no noise at all.
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
    """The ``infer`` of a site that is pooled around the site `location`, or zero, in units of the site `scale`."""
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
        name: site name; ``<name>_location`` and ``<name>_scale`` hold the population.
        curves: the layout, for the number of languages.
        location: prior of the population's location, on the unconstrained scale.
        scale: the pooling scale's prior is log-normal, 90 % between .2 and 1.9 times this. It keeps away from zero,
            where languages are the same, no runs can show it and the sampler gets stuck. None pools completely, for
            a parameter that the data at hand say nothing about.
        support: where the parameter lives; it is normal over languages after the bijection from the real line
            (``positive``: log-normal; ``unit_interval``: logit-normal).
        sources: number of named sources, where each has its own value.
        prior: normal priors, on the unconstrained scale, that some members have instead of the population's.
        noise: whether it is a scale of noise.

    Returns:
        ``(language,)`` or ``(language, source)``. With complete pooling, and with a single member, every value is the
        location itself and no scale is sampled.
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
