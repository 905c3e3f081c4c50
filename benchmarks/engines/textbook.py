"""NumPyro by its manual: a non-centred model, a diagonal mass matrix and `MCMC.run`, in two variants.

`raw_counts` is a careful user's first model: log A and log B at one parameter and one token, with their own weakly
informative priors. Its posterior is therefore close to ours, but not equal. `same_priors` is the shipped model with its
priors and reference sizes, written independently of the engine. Its posterior must equal ours.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from numpyro.infer import MCMC, NUTS

from benchmarks.engines.problem import PARAMETERS, TARGET_ACCEPT, Rows, Sampled, Settings


def raw_counts(rows: Rows) -> None:
    """E + A / N^alpha + B / D^beta with N and D in parameters and tokens."""
    E = jnp.exp(_non_centred("log_E", rows, dist.Normal(0.5, 1.0), 0.5))
    log_A = _non_centred("log_A", rows, dist.Normal(6.0, 3.0), 1.0)
    log_B = _non_centred("log_B", rows, dist.Normal(6.0, 3.0), 1.0)
    alpha, beta = _exponents(rows)
    size = jnp.exp(log_A[rows.language] - alpha[rows.language] * jnp.log(rows.params))
    data = jnp.exp(log_B[rows.language] - beta[rows.language] * jnp.log(rows.tokens))
    _observe(rows, E[rows.language] + size + data)
    A = jnp.exp(log_A - alpha * rows.mean_log_params)
    B = jnp.exp(log_B - beta * rows.mean_log_tokens)
    _report(level=E + A + B, E=E, A=A, B=B, alpha=alpha, beta=beta)


def same_priors(rows: Rows) -> None:
    """The shipped model `chinchilla` for a table of one row per run and few model sizes."""
    level = jnp.exp(_non_centred("level", rows, dist.Normal(1.0, 2.0), 1.0))
    size_share = jax.nn.sigmoid(_non_centred("size_share", rows, dist.Normal(-1.5, 1.0), 0.5))
    irreducible_share = jax.nn.sigmoid(_non_centred("irreducible_share", rows, dist.Normal(1.2, 1.0), 0.5))
    alpha, beta = _exponents(rows)
    E = level * (1 - size_share) * irreducible_share
    A = level * size_share
    B = level * (1 - size_share) * (1 - irreducible_share)
    params = rows.params / np.exp(rows.mean_log_params)
    tokens = rows.tokens / np.exp(rows.mean_log_tokens[rows.language])
    size = A[rows.language] * params ** -alpha[rows.language]
    data = B[rows.language] * tokens ** -beta[rows.language]
    _observe(rows, E[rows.language] + size + data)
    _report(level=level, E=E, A=A, B=B, alpha=alpha, beta=beta)


def sample(model: Callable[[Rows], None], table: pd.DataFrame, settings: Settings) -> Sampled:
    """Draw from the posterior of `model` given `table`, with a device for every chain as `MCMC` asks for."""
    numpyro.enable_x64()
    numpyro.set_host_device_count(settings.chains)
    mcmc = MCMC(
        NUTS(model, target_accept_prob=TARGET_ACCEPT),
        num_warmup=settings.warmup,
        num_samples=settings.draws,
        num_chains=settings.chains,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(settings.seed), Rows.of(table), extra_fields=("num_steps", "diverging"))
    drawn = mcmc.get_samples(group_by_chain=True)
    stats = mcmc.get_extra_fields(group_by_chain=True)
    sampled = {name: np.asarray(drawn[name]) for name in PARAMETERS if name in drawn}
    return sampled | {"n_steps": np.asarray(stats["num_steps"]), "diverging": np.asarray(stats["diverging"])}


def _non_centred(name: str, rows: Rows, location: dist.Distribution, scale: float) -> jax.Array:
    """A value for each language around a common location, as location + scale * offset."""
    centre = numpyro.sample(f"{name}_location", location)
    spread = numpyro.sample(f"{name}_scale", dist.LogNormal(jnp.log(0.6 * scale), 0.7))
    with numpyro.plate("language", rows.languages):
        return centre + spread * numpyro.sample(f"{name}_offset", dist.Normal(0.0, 1.0))


def _exponents(rows: Rows) -> tuple[jax.Array, jax.Array]:
    location = dist.Normal(jnp.log(0.35), 0.4)
    alpha = jnp.exp(_non_centred("alpha", rows, location, 0.25))
    return alpha, jnp.exp(_non_centred("beta", rows, location, 0.25))


def _observe(rows: Rows, expected: jax.Array) -> None:
    sigma = numpyro.deterministic("sigma", jnp.exp(_non_centred("sigma", rows, dist.Normal(jnp.log(0.01), 1.0), 0.5)))
    with numpyro.plate("row", len(rows.log_loss)):
        numpyro.sample("log_loss", dist.StudentT(4.0, jnp.log(expected), sigma[rows.language]), obs=rows.log_loss)


def _report(**values: jax.Array) -> None:
    for name, value in values.items():
        numpyro.deterministic(name, value)
