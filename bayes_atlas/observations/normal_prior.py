"""Normal priors of some members of a pooled parameter."""

from typing import NamedTuple

from bayes_atlas.arrays import Array


class Prior(NamedTuple):
    """Normal priors of some members of a pooled parameter. A JAX pytree of arrays ``(language, source)``."""

    given: Array  # whether there is one
    mean: Array  # 0 where there is none
    sd: Array  # 1 where there is none
