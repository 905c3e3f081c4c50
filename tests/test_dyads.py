import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, t

from bayes_atlas.dyads import LOG_WEIGHTS, NU, STEPS, DyadStudentT

OBSERVED = np.array([[True, True], [True, False], [False, True], [False, False]])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def dyads(reciprocity=0.5, error=0.1, own=0.3):
    shape = OBSERVED.shape
    return DyadStudentT(jnp.zeros(shape), jnp.full(shape, own), jnp.asarray(reciprocity), error, OBSERVED)


def test_the_density_is_that_of_the_normals_it_is_made_of():
    value = np.array([0.4, -0.1])
    own = 0.3**2 * np.array([[1, 0.5], [0.5, 1]])
    parts = [multivariate_normal.logpdf(value, cov=step**2 * own + 0.01 * np.eye(2)) for step in STEPS]
    expected = np.logaddexp.reduce(LOG_WEIGHTS + parts)
    found = dyads().log_prob(jnp.tile(value, (4, 1)))
    assert float(found[0]) == pytest.approx(expected)
    assert float(found[3]) == pytest.approx(0.0, abs=1e-12)


def test_without_error_a_direction_is_near_a_student_t():
    # Steps of a factor of 2 leave at most a quarter in logs, out to five scales, where the density is e^-5 of its top.
    grid = np.linspace(-1.5, 1.5, 13)
    found = [float(dyads(error=1e-6).log_prob(jnp.tile(jnp.array([x, 0.0]), (4, 1)))[1]) for x in grid]
    np.testing.assert_allclose(found, t.logpdf(grid, NU, scale=0.3), atol=0.25)


def test_true_values_keep_to_sure_measurements_and_follow_the_other_direction():
    measured = jnp.tile(jnp.array([0.5, 0.5]), (4, 1))
    keys = jax.random.split(jax.random.PRNGKey(0), 4000)
    drawn = np.asarray(jax.vmap(lambda key: dyads(reciprocity=0.9, error=1e-4).true_values(key, measured))(keys))
    np.testing.assert_allclose(drawn[:, 0], 0.5, atol=1e-3)
    # The other direction was not measured: its mean is reciprocity times the first. Five standard errors.
    spread = drawn[:, 1, 1].std() / np.sqrt(len(drawn))
    assert abs(drawn[:, 1, 1].mean() - 0.45) < 5 * spread
    assert abs(drawn[:, 3].mean()) < 5 * drawn[:, 3].std() / np.sqrt(len(drawn))
