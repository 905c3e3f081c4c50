import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm, t

from bayes_atlas.modelling.pair_noise import LOG_WEIGHTS, NU, STEPS, DyadStudentT

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


# Bounds

CENSORED = np.array([[True, True], [True, False], [False, True], [False, False]])


def bounded(reciprocity=0.5, error=0.1, loc=0.05):
    loc, own = jnp.broadcast_to(loc, (4, 2)), jnp.full((4, 2), 0.3)
    return DyadStudentT(loc, own, jnp.asarray(reciprocity), error, np.ones((4, 2), bool), CENSORED)


@pytest.mark.parametrize("reciprocity", [-0.8, 0.0, 0.5])
@pytest.mark.parametrize("value", [(0.2, -0.1), (-0.6, 0.5), (-0.4, -0.5)])
def test_a_bound_counts_by_the_probability_below_it(reciprocity, value):
    value = np.array(value)
    found = bounded(reciprocity).log_prob(jnp.tile(value, (4, 1)))
    own = 0.3**2 * np.array([[1, reciprocity], [reciprocity, 1]])
    covariances = [step**2 * own + 0.01 * np.eye(2) for step in STEPS]
    below = [multivariate_normal.logcdf(value - 0.05, cov=each, rng=np.random.default_rng(0)) for each in covariances]
    assert float(found[0]) == pytest.approx(np.logaddexp.reduce(LOG_WEIGHTS + below), abs=0.01)
    for place, (bound, exact) in ((1, (0, 1)), (2, (1, 0))):
        parts = []
        for each in covariances:
            slope = each[bound, exact] / each[exact, exact]
            spread = np.sqrt(each[bound, bound] - slope * each[bound, exact])
            residual = value - 0.05
            density = norm.logpdf(residual[exact], scale=np.sqrt(each[exact, exact]))
            parts.append(density + norm.logcdf(residual[bound] - slope * residual[exact], scale=spread))
        assert float(found[place]) == pytest.approx(np.logaddexp.reduce(LOG_WEIGHTS + parts), abs=1e-6)


def test_a_bound_that_says_nothing_leaves_the_score_out():
    value = jnp.tile(jnp.array([20.0, 0.3]), (4, 1))
    seen = dyads().log_prob(jnp.tile(jnp.array([0.0, 0.25]), (4, 1)))[2]  # the first direction not observed
    assert float(bounded().log_prob(value)[1]) == pytest.approx(float(seen), abs=1e-4)


def test_far_bounds_are_finite_and_so_are_their_slopes():
    def total(loc):
        return bounded(reciprocity=0.9, loc=loc).log_prob(jnp.full((4, 2), -20.0)).sum()

    value, slope = jax.value_and_grad(total)(jnp.full((4, 2), 3.0))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_true_values_of_bounded_scores_lie_below_but_for_error():
    bound = jnp.tile(jnp.array([-0.3, -0.2]), (4, 1))
    keys = jax.random.split(jax.random.PRNGKey(0), 4000)
    drawn = np.asarray(jax.vmap(lambda key: bounded(error=1e-3).true_values(key, bound))(keys))
    assert (drawn[:, 0] < np.array([-0.3, -0.2]) + 0.01).all()
    assert (drawn[:, 1, 0] < -0.29).all()
    np.testing.assert_allclose(drawn[:, 1, 1], -0.2, atol=0.01)
    # Against rejection from the distribution itself; five standard errors of the mean of each.
    free = np.asarray(
        jax.vmap(lambda key: bounded(error=1e-3).sample(key))(jax.random.split(jax.random.PRNGKey(1), 80000))
    )
    kept = free[(free[:, 0] < np.array([-0.3, -0.2])).all(axis=1), 0]
    for one, other in zip(drawn[:, 0].T, kept.T, strict=True):
        assert abs(one.mean() - other.mean()) < 5 * np.hypot(
            one.std() / np.sqrt(4000), other.std() / np.sqrt(len(kept))
        )
