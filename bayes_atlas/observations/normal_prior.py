"""Normal priors of some members of a pooled parameter."""

from typing import NamedTuple

from bayes_atlas.arrays import Array


class Prior(NamedTuple):
    """Normal priors of some members of a pooled parameter. A JAX pytree of arrays ``(language, source)``."""

    given: Array  # True if the member has such a prior
    mean: Array  # 0 without a prior
    sd: Array  # 1 without a prior
