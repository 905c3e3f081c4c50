"""Hashable shapes of a model's arguments: the cache key that lets a traced program be reused."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Signature:
    """Structure of a pytree, with the shape and type of each leaf. Hashable."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, tree: Any) -> "Signature":
        """Return the signature of a pytree of arrays."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(jax.ShapeDtypeStruct(np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves))

    @property
    def shapes(self) -> Any:
        """The pytree, with shapes as leaves."""
        return jax.tree.unflatten(self.structure, self.leaves)
