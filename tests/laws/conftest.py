from collections.abc import Iterator

import jax
import pytest
from hypothesis import settings

# A first call compiles, and machines differ: time is not what these tests check.
settings.register_profile("laws", deadline=None)
settings.load_profile("laws")


@pytest.fixture(scope="module", autouse=True)
def double_precision() -> Iterator[None]:
    """JAX in double precision for the mathematics of the laws, and only there."""
    with jax.enable_x64(True):
        yield
