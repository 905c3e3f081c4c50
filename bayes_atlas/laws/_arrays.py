"""Which array library a law's arguments belong to."""

from typing import Any

import array_api_compat
import numpy as np

# A law's argument or value: a float, a NumPy array or a JAX array. All laws are elementwise and broadcast.
type Array = Any


def namespace(*values: Array) -> Any:
    """The array namespace shared by `values`; NumPy's where all of them are plain numbers."""
    arrays = [value for value in values if array_api_compat.is_array_api_obj(value)]
    return array_api_compat.array_namespace(*arrays) if arrays else np
