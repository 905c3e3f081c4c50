"""Transfer, hierarchical: transfer between languages, with imputation of pairs that were not measured.

Law: score of a pair = level + effect of its target + effect of its source + effects of common traits (script, genus,
family, distances) + residual of the pair. Scores are bilingual transfer scores (Longpre et al. 2025, arXiv 2510.22037,
§4) or any other score that increases with the help of the source.

Residuals of pairs have a scale of each target (``spread``) and are correlated between the two directions
(``reciprocity``). They are Student-t, so that one odd pair does not widen all others. So are the effects of sources,
since a donor may fail. Errors of measurement are those in the table. If the table has none, ``noise`` is estimated, as
far as it is identified apart from the residuals: a single table identifies little more than their sum. A censored score
says that a measurement would be below it.

Why these priors. All are in units of the standard deviation of the measured scores. Targets differ most (they explain
four fifths of the printed matrix), so their scale is centred at half a unit, that of sources at a
quarter. Script, genus and family are normal around zero, since the question is whether they help. They are far from
independent, and each is its effect given the others. Reciprocity is uniform: the paper prints a correlation near zero
and speaks of symmetry.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayes_atlas.data.transfer_scores import TRAITS
from bayes_atlas.laws import transfer as law
from bayes_atlas.modelling.pair_noise import NU, DyadStudentT
from bayes_atlas.modelling.pooling import pooled_from
from bayes_atlas.observations.pairs import Pairs

LAW = "transfer"
IMPUTED = {"score": ("target", "source")}


def model(pairs: Pairs, score=None):
    unit = pairs.unit
    sites = {"level": numpyro.sample("level", dist.Normal(pairs.centre, unit))}
    sites |= {trait: numpyro.sample(trait, dist.Normal(0.0, 0.3 * unit)) for trait in TRAITS}
    sites["reciprocity"] = numpyro.sample("reciprocity", dist.Uniform(-1.0, 1.0))
    receives = numpyro.sample("receives_scale", dist.LogNormal(jnp.log(0.5 * unit), 0.7))
    gives = numpyro.sample("gives_scale", dist.LogNormal(jnp.log(0.25 * unit), 0.7))
    typical = numpyro.sample("spread_location", dist.Normal(jnp.log(0.2 * unit), 0.7))
    varied = numpyro.sample("spread_scale", dist.LogNormal(jnp.log(0.3), 0.7))
    with numpyro.plate("target", pairs.languages):
        population = pooled_from(None, "receives_scale")
        sites["receives"] = numpyro.sample("receives", dist.Normal(0.0, receives), infer=population)
        population = pooled_from("spread_location", "spread_scale")
        sites["spread"] = numpyro.sample("spread", dist.LogNormal(typical, varied), infer=population)
    with numpyro.plate("source", pairs.languages):
        sites["gives"] = numpyro.sample("gives", dist.StudentT(NU, 0.0, gives), infer=pooled_from(None, "gives_scale"))
    if pairs.distances is not None:
        with numpyro.plate("distance", pairs.distances.shape[-1]):
            sites["per_distance"] = numpyro.sample("per_distance", dist.Normal(0.0, 0.3 * unit))
    if pairs.error is None:
        sites["noise"] = numpyro.sample("noise", dist.LogNormal(jnp.log(0.05 * unit), 0.5))
    with numpyro.plate("dyad", pairs.target.shape[0]):
        numpyro.sample("measured", _dyads(pairs, sites), obs=score)


def impute(key, pairs: Pairs, score, sites):
    """Impute the true score of every pair given a draw of the parameters: a matrix ``(target, source)``."""
    return {"score": pairs.matrix(_dyads(pairs, sites).true_values(key, score))}


def _dyads(pairs: Pairs, sites) -> DyadStudentT:
    common = (pairs.common @ jnp.stack([sites[trait] for trait in TRAITS]))[:, None]
    if pairs.distances is not None:
        common = common + pairs.distances @ sites["per_distance"]
    expected = law.expected_score(
        level=sites["level"],
        receives=pairs.by_target(sites["receives"]),
        gives=pairs.by_source(sites["gives"]),
        common=common,
    )
    error = sites["noise"] if pairs.error is None else pairs.error
    own = pairs.by_target(sites["spread"])
    return DyadStudentT(expected, own, sites["reciprocity"], error, pairs.observed, pairs.censored)
