"""Crossover, hierarchical: the point at which training from scratch overtakes a checkpoint.

Law: E + A / N^alpha + B / x^beta per language. From scratch, x is the effective tokens D of the language. From a
checkpoint, x is the worth of D + D_0 D^delta tokens, which include the transferred tokens (Hernandez et al. 2021,
arXiv 2102.01293), up to a limit: without a limit there is no crossover. A short run from scratch, in its slow initial
phase, has an extra loss late / (1 + (D / onset)^steep). The question is that of Longpre et al. 2025 (arXiv 2510.22037,
§6); `benchmarks/crossover.py` compares this form with others on held-out runs.

Parameters are few, since a language has some six runs from each start. Languages differ in ``level``, their loss at the
reference; in ``irreducible_share``, the part of E and A in it; and in ``late_share``, the part of `late`. Exponents,
``lam``, ``onset`` and ``steep`` are common. So are alpha and ``size_share``, A's part of E and A together. If all runs
have one size these two follow their priors, independent of all else, and cost two dimensions for any number of
languages. Limits differ by checkpoint. D_0 is ``donor``, of the checkpoint, times ``match``, of the pair, both in logs.

Why these priors. Units are geometric means of sizes and of each language's tokens. Level, shares and exponents are as
in `bayes_atlas.modelling.loss_terms`. D_0 is log-normal around one unit, 90 % within a factor of 30: a checkpoint may
be worth nothing, or more than all data. delta is uniform. Limits are log-normal around ten units, 90 % within a factor
of 30: the question is whether a run reaches its limit at all. In the slow initial phase, the extra loss of a run may be
about as large as its level. Noise may fall or rise with data (``kappa_tokens``). It does not depend on epochs as well:
in such tables epochs are confounded with data, and noise would absorb the behaviour of the longest runs. A failed run
has little influence: its ``weight`` is near zero, while a run that follows the law has 1 or more.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_atlas.laws import crossover as law
from bayes_atlas.modelling.curve_noise import observe
from bayes_atlas.modelling.pooling import pooled, pooled_from
from bayes_atlas.observations.curves import Curves

LAW = "crossover"
SCRATCH = {"D_0": 0.0, "delta": 0.0, "limit": jnp.inf}  # a start from no checkpoint


def model(params, tokens, unique, source_started, curves: Curves, loss=None):
    terms = from_scratch(curves, tokens, unique)
    started = from_checkpoint(curves, source_started.shape[-1])
    return compare(params, tokens, unique, source_started, curves, loss, terms, started)


def from_scratch(curves: Curves, tokens, unique):
    """Sample the law's parameters ``(language,)`` of runs from scratch."""
    positive, share = constraints.positive, constraints.unit_interval
    terms = {
        "alpha": pooled("alpha", curves, dist.Normal(jnp.log(0.35), 0.4), None, support=positive),
        "beta": pooled("beta", curves, dist.Normal(jnp.log(0.35), 0.4), None, support=positive),
        "lam": pooled("lam", curves, dist.Normal(jnp.log(0.2), 0.7), None, support=positive),
        "onset": pooled("onset", curves, dist.Normal(jnp.log(0.1), 1.0), None, support=positive),
        "steep": pooled("steep", curves, dist.Normal(jnp.log(3.0), 0.5), None, support=positive),
    }
    level = pooled("level", curves, dist.Normal(1.0, 2.0), 1.0, support=positive)
    irreducible = pooled("irreducible_share", curves, dist.Normal(1.2, 1.0), 0.5, support=share)
    size = pooled("size_share", curves, dist.Normal(-1.5, 1.0), None, support=share)
    late = pooled("late_share", curves, dist.Normal(0.0, 1.0), 0.5, support=positive)
    seen = curves.typical(jnp.log(law.effective_tokens(tokens, unique, curves.by_language(terms["lam"]))))
    with numpyro.plate("language", curves.languages):
        return terms | {
            "E": numpyro.deterministic("E", level * irreducible * (1 - size)),
            "A": numpyro.deterministic("A", level * irreducible * size),
            "B": numpyro.deterministic("B", level * (1 - irreducible) * jnp.exp(terms["beta"] * seen)),
            "late": numpyro.deterministic("late", level * late),
        }


def transferred(curves: Curves, checkpoints: int):
    """Sample D_0 ``(language, source)``."""
    typical = numpyro.sample("donor_location", dist.Normal(0.0, 2.0))
    varied = numpyro.sample("donor_scale", dist.LogNormal(jnp.log(0.4), 0.7))
    apart = numpyro.sample("match_scale", dist.LogNormal(jnp.log(0.3), 0.7))
    with numpyro.plate("source", checkpoints, dim=-1):
        population = pooled_from("donor_location", "donor_scale")
        donor = numpyro.sample("donor", dist.Normal(typical, varied), infer=population)
        with numpyro.plate("language", curves.languages, dim=-2):
            match = numpyro.sample("match", dist.Normal(0.0, apart), infer=pooled_from(None, "match_scale"))
            return numpyro.deterministic("D_0", jnp.exp(donor + match))


def from_checkpoint(curves: Curves, checkpoints: int):
    """Sample the law's parameters that depend on the checkpoint, ``(language, source)``."""
    worth = transferred(curves, checkpoints)
    delta = pooled("delta", curves, dist.Logistic(0.0, 1.0), None, support=constraints.unit_interval)
    typical = numpyro.sample("log_limit_location", dist.Normal(jnp.log(10.0), 2.0))
    varied = numpyro.sample("log_limit_scale", dist.LogNormal(jnp.log(0.7), 0.7))
    with numpyro.plate("source", checkpoints, dim=-1):
        population = pooled_from("log_limit_location", "log_limit_scale")
        log_limit = numpyro.sample("log_limit", dist.Normal(typical, varied), infer=population)
        with numpyro.plate("language", curves.languages, dim=-2):
            limit = numpyro.deterministic("limit", jnp.broadcast_to(jnp.exp(log_limit), worth.shape))
    return {"D_0": worth, "delta": jnp.broadcast_to(delta[:, None], worth.shape), "limit": limit}


def compare(params, tokens, unique, source_started, curves: Curves, loss, terms, started):
    """Observe runs under the law.

    Args:
        terms: the law's parameters ``(language,)`` of runs from scratch.
        started: parameters ``(language, source)`` that replace them in runs from checkpoints.
    """
    scratch = source_started.sum(axis=-1) == 0
    by_run = {name: curves.by_language(value) for name, value in terms.items()}
    by_run["late"] = jnp.where(scratch, by_run["late"], 0.0)
    for name, value in started.items():
        changed = (source_started * curves.by_language(value)).sum(axis=-1)
        by_run[name] = jnp.where(scratch, SCRATCH[name] if name in SCRATCH else by_run[name], changed)
    expected = law.loss(params, tokens, unique, **by_run)
    kappa = numpyro.sample("kappa_tokens", dist.Normal(0.0, 0.5))
    noise = kappa * jnp.log(tokens)
    return observe(expected, curves._replace(epochs=None, age=None), loss, log_noise=noise, weigh=True)
