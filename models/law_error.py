"""Errors of laws, hierarchical: how wrong the law of a table is, over many tables.

Parameters of each table: kappa, the standard deviation of the walk of its exponents per square root of an e-fold; and
log q, which is zero where the two terms of the law are additive (`bayes_atlas.law_error`). Both come from an evidence
table: the log evidence of a table's runs for several kappa, interpolated in log kappa, and an estimate of log q with
its standard error.

Why these priors. A typical kappa is log-normal around .1, 90 % between .02 and .5: exponents that change by some tenths
of themselves over an e-fold would have been noticed, and laws that hold to the last digit are not known. Tables differ
by a factor of 1.6 either way, learned. log q is around zero, within half an e-fold, and differs between tables by .3,
learned. Tables have Student-t tails around their population, since another one may be worse than all of these.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import vmap

from bayes_atlas.law_error.population import NU
from bayes_atlas.modelling.pooling import pooled_from
from bayes_atlas.observations.evidence import Evidence

LAW = "running_exponents"


def model(evidence: Evidence, log_q=None):
    centre = {
        "log_kappa": numpyro.sample("log_kappa_location", dist.Normal(jnp.log(0.1), 1.0)),
        "log_q": numpyro.sample("log_q_location", dist.Normal(0.0, 0.5)),
    }
    spread = {
        "log_kappa": numpyro.sample("log_kappa_scale", dist.LogNormal(jnp.log(0.4), 0.6)),
        "log_q": numpyro.sample("log_q_scale", dist.LogNormal(jnp.log(0.3), 0.6)),
    }
    with numpyro.plate("language", evidence.error.shape[0]):
        drawn = {
            name: numpyro.sample(
                name,
                dist.StudentT(NU, centre[name], spread[name]),
                infer=pooled_from(f"{name}_location", f"{name}_scale"),
            )
            for name in centre
        }
        numpyro.deterministic("kappa", jnp.exp(drawn["log_kappa"]))
        shown = vmap(jnp.interp, (0, None, 0))(drawn["log_kappa"], evidence.log_kappa, evidence.log_evidence)
        numpyro.factor("runs", shown)
        numpyro.sample("log_q_estimate", dist.Normal(drawn["log_q"], evidence.error), obs=log_q)
