"""The array library of a law's arguments."""

from typing import Any

import array_api_compat
import numpy as np

# A law's argument or value: a float, a NumPy array or a JAX array. All laws are elementwise and broadcast.
type Array = Any


def namespace(*values: Array) -> Any:
    """Return the common array namespace of `values`; NumPy's if all of them are NumPy arrays or plain numbers."""
    arrays = [value for value in values if array_api_compat.is_array_api_obj(value)]
    others = [value for value in arrays if not array_api_compat.is_numpy_array(value)]
    return array_api_compat.array_namespace(*(others or arrays)) if arrays else np
