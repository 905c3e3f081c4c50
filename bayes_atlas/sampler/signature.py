"""Shapes of a model's arguments, by which what hangs on nothing else is found again instead of being traced anew."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Signature:
    """The structure of a pytree, and the shape and type of each of its leaves. Hashable."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, tree: Any) -> "Signature":
        """Of a pytree of arrays."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(jax.ShapeDtypeStruct(np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves))

    @property
    def shapes(self) -> Any:
        """The pytree, of shapes."""
        return jax.tree.unflatten(self.structure, self.leaves)
