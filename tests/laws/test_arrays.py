"""Which library computes a law."""

import jax.numpy as jnp
import numpy as np
import pytest

from bayes_atlas.laws import chinchilla

LIBRARIES = {"plain": float, "numpy": np.asarray, "jax": jnp.asarray}


@pytest.mark.parametrize("sizes", LIBRARIES)
@pytest.mark.parametrize("parameters", LIBRARIES)
def test_arrays_of_jax_may_meet_those_of_numpy(sizes, parameters):
    """A model's covariates are NumPy's until it is compiled, its parameters never."""
    theta = {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.33, "beta": 0.28}
    of_sizes, of_parameters = LIBRARIES[sizes], LIBRARIES[parameters]
    loss = chinchilla.loss(of_sizes(2.0), of_sizes(3.0), **{name: of_parameters(v) for name, v in theta.items()})
    assert isinstance(loss, jnp.ndarray) == ("jax" in (sizes, parameters))
    assert float(loss) == pytest.approx(1.5 + 0.5 / 2**0.33 + 0.6 / 3**0.28)
