"""A prior of tau, the worth of a source's token, from a posterior of bilingual transfer scores.

By definition of the score tau = BTS / (2 - BTS) (`bayes_atlas.laws.atlas.tau_from_bts`). That holds for a run half and
half, at the size and anchor that the scores are of: a fit takes it as a prior, which its own runs may overrule.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bayes_atlas.data.names import source_of
from bayes_atlas.errors import InputError
from bayes_atlas.laws.atlas import tau_from_bts
from bayes_atlas.observations.normal_prior import Prior
from bayes_atlas.posterior import Posterior

HIGHEST = 1.0  # a mean score from which on scores are no bilingual transfer scores: 1 is a second language for free


def tau_prior(posterior: Posterior, sources: Mapping[str, Sequence[str]]) -> Prior:
    """Mean and sd over the draws of tau of each language's named sources.

    Args:
        posterior: of the model ``transfer``, of bilingual transfer scores.
        sources: the named sources of each language, by rank; ``""`` where it has fewer than others. A group such as
            ``en:multilingual`` has the scores of its language.

    Raises:
        InputError: the posterior has no scores, its scores are no bilingual transfer scores, or it knows none of the
            pairs.
    """
    score = posterior.drawn("score")["score"]
    if np.nanmax(score.mean(axis=0)) > HIGHEST:
        raise InputError(
            f"the scores of {posterior.name} are no bilingual transfer scores, as some are above {HIGHEST}; give a "
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
