"""Partial pooling: what the models share.

A language's parameter is drawn around a common location with a learned scale, so that languages with few runs borrow
from the rest and those with many keep their own. The three sites ``<name>_location``, ``<name>_scale`` and ``<name>``
are a naming convention that `bayes_atlas.sampler` reads: on the unconstrained scale, `<name>` is normal around the
location, or around zero where there is none.
"""

from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import biject_to

from bayes_atlas.observations.curves import Curves
from bayes_atlas.observations.normal_prior import Prior


def pooled(
    name: str,
    curves: Curves,
    location: dist.Distribution,
    scale: float | None,
    *,
    support: constraints.Constraint = constraints.real,
    sources: int | None = None,
    prior: Prior | None = None,
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

    Returns:
        ``(language,)`` or ``(language, source)``. With complete pooling, and with a single member, every value is the
        location itself and no scale is sampled.
    """
    transform = biject_to(support)
    centre = numpyro.sample(f"{name}_location", location)
    shape = (curves.languages,) if sources is None else (curves.languages, sources)
    spread = None
    if scale is not None and shape != (1,):
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
        return numpyro.sample(name, dist.TransformedDistribution(dist.Normal(centre, spread), transform))
