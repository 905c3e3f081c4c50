"""A prior of tau, the worth of a source's token, from a posterior of bilingual transfer scores.

By the definition of the score, tau = BTS / (2 - BTS) (`bayes_atlas.laws.atlas.tau_from_bts`). This holds for a 50/50
run, at the size and anchor of the scores. A fit uses it as a prior, which its own runs may overrule.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bayes_atlas.data.names import source_of
from bayes_atlas.errors import InputError
from bayes_atlas.laws.atlas import tau_from_bts
from bayes_atlas.observations.normal_prior import Prior
from bayes_atlas.posterior import Posterior

HIGHEST = 1.0  # largest mean of a bilingual transfer score: at 1 a second language is free


def tau_prior(posterior: Posterior, sources: Mapping[str, Sequence[str]]) -> Prior:
    """Return the mean and sd of tau over the draws, for each language's named sources.

    Args:
        posterior: posterior of the model ``transfer``, fitted to bilingual transfer scores.
        sources: the named sources of each language, by rank; ``""`` fills up languages with fewer. A group such as
            ``en:multilingual`` has the scores of its language.

    Raises:
        InputError: the posterior has no scores, its scores are not bilingual transfer scores, or it has none of the
            pairs.
    """
    score = posterior.drawn("score")["score"]
    if np.nanmax(score.mean(axis=0)) > HIGHEST:
        raise InputError(
            f"the scores of {posterior.name} are not bilingual transfer scores, as some are above {HIGHEST}; give a "
            f"posterior of such scores, as `bayes-atlas scores` measures them"
        )
    known = posterior.info.languages
    tau = tau_from_bts(np.minimum(score, HIGHEST))
    shape = (len(sources), max(map(len, sources.values()), default=0))
    prior = Prior(np.zeros(shape, dtype=bool), np.zeros(shape), np.ones(shape))
    for row, (language, names) in enumerate(sources.items()):
        target = source_of(language)
        for slot, source in enumerate(names):
            if target in known and source in known and source != target:
                draws = tau[:, known.index(target), known.index(source)]
                prior.given[row, slot], prior.mean[row, slot], prior.sd[row, slot] = True, draws.mean(), draws.std()
    if not prior.given.any():
        pairs = ", ".join(f"{name}->{language}" for language, names in sources.items() for name in names if name)
        raise InputError(
            f"{posterior.name} has no score of any named source ({pairs or 'there is none'}); leave tau_from out, or "
            f"name languages as it does: {', '.join(known)}"
        )
    return prior
