"""Priors of the terms that every law has: the loss at the reference and its three parts, and the exponents."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.modelling.pooling import pooled
from bayes_atlas.observations.curves import Curves


def split_loss(
    curves: Curves,
    *,
    beta: jax.Array | float = 0.0,
    log_tokens: jax.Array | float = 0.0,
    log_factor: jax.Array | float = 0.0,
) -> dict[str, jax.Array]:
    """E, A and B of every language: how the loss at the reference sizes divides into its three terms.

    The loss itself is sharply seen and may be in any unit; its division is what languages share. ``level`` is the loss
    at the reference (log-normal), ``size_share`` A's part of it and ``irreducible_share`` E's part of the rest
    (logit-normal). A language whose data vary too little to tell E from B then leaves one parameter open, not three.

    Args:
        curves: the layout.
        beta: ``(language,)`` exponent of data; needed with `log_tokens`.
        log_tokens: ``(language,)`` log of the effective tokens that the level is of, where these are not the reference
            itself: where a language's runs repeat their data or borrow from others, what they show is the loss there.
        log_factor: ``(language,)`` log of a factor of the whole loss, where the law has one, at which the level is.
    """
    level = pooled("level", curves, dist.Normal(1.0, 2.0), 1.0, support=constraints.positive)
    level = level * jnp.exp(-jnp.asarray(log_factor))
    size = pooled("size_share", curves, dist.Normal(-1.5, 1.0), 0.5, support=constraints.unit_interval)
    irreducible = pooled("irreducible_share", curves, dist.Normal(1.2, 1.0), 0.5, support=constraints.unit_interval)
    rest = level * (1 - size)
    with numpyro.plate("language", curves.languages):
        return {
            "E": numpyro.deterministic("E", rest * irreducible),
            "A": numpyro.deterministic("A", level * size),
            "B": numpyro.deterministic("B", rest * (1 - irreducible) * jnp.exp(beta * log_tokens)),
        }


def exponents(curves: Curves) -> dict[str, jax.Array]:
    """alpha and beta of every language: log-normal, medians near one third (published fits: .15 to .64)."""
    return {
        name: pooled(name, curves, dist.Normal(jnp.log(0.35), 0.4), 0.25, support=constraints.positive)
        for name in ("alpha", "beta")
    }
