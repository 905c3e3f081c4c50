"""Names of the arrays that the engine passes around."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]
type Flags = NDArray[np.bool_]
type Rng = np.random.Generator
type Array = Any  # NumPy's outside of a model, JAX's inside
