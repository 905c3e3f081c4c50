"""Priors of terms that every law has: the loss at the reference sizes, its three parts, and the exponents."""

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
    """Sample E, A and B of every language, as the split of the loss at the reference sizes into three terms.

    The runs determine the loss itself sharply, in any unit; languages share its split. ``level`` is the loss at the
    reference (log-normal), ``size_share`` is A's share of it, and ``irreducible_share`` is E's share of the rest (both
    logit-normal). A language whose data vary too little to separate E from B thus leaves one parameter open, not three.

    Args:
        curves: the layout.
        beta: ``(language,)`` exponent of data; needed with `log_tokens`.
        log_tokens: ``(language,)`` log of the effective tokens of the level, if these differ from the reference. Runs
            that repeat data or borrow from other languages show the loss at these tokens.
        log_factor: ``(language,)`` log of the factor at which the level holds, if the law multiplies the whole loss by
            a factor.

    Returns:
        ``(language,)`` arrays of E, A and B, as deterministic sites.
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
    """Sample alpha and beta of every language, log-normal with medians near one third (published fits: .15 to .64)."""
    return {
        name: pooled(name, curves, dist.Normal(jnp.log(0.35), 0.4), 0.25, support=constraints.positive)
        for name in ("alpha", "beta")
    }
