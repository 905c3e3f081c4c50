"""Log likelihoods counted from a reference: the same posterior, and finer numbers where there are many rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayes_atlas.sampler.driver import sample
from bayes_atlas.sampler.layout import Layout
from bayes_atlas.sampler.program import Tuning, program
from bayes_atlas.sampler.settings import Settings

TUNING = Tuning(50, 0.9, 10)


@pytest.fixture
def part(regression, regression_data):
    return program(regression, Layout.of(regression, regression_data), TUNING)


def test_the_potential_moves_by_the_sum_of_the_reference(part, regression_data):
    vector = jnp.array([1.0, 0.02, -1.0, 0.5])
    reference = {"loss": np.linspace(-3, 5, 30)}
    plain, relative = part.potential(vector, regression_data), part.potential(vector, regression_data, reference)
    assert relative - plain == pytest.approx(30.0, rel=1e-12)
    slopes = [jax.grad(part.potential)(vector, regression_data, given) for given in (None, reference)]
    np.testing.assert_allclose(*slopes, rtol=1e-12)


def test_a_factor_has_no_reference(tied, languages_data):
    layout = Layout.of(tied, languages_data)
    part, vector = program(tied, layout, TUNING), jnp.zeros(layout.size)
    (observed,) = part._seen(vector, languages_data)[1]
    relative = part.potential(vector, languages_data, {observed: jnp.ones(())})
    count = np.size(part._seen(vector, languages_data)[1][observed])
    assert relative - part.potential(vector, languages_data) == pytest.approx(count, rel=1e-9)


def test_single_precision_tells_close_places_apart_among_many_rows(regression):
    rng = np.random.default_rng(0)
    with jax.enable_x64(False):
        design = np.column_stack([np.ones(400_000), rng.normal(size=(400_000, 3))]).astype(np.float32)
        data = {"design": design}, (design.sum(axis=1) + 0.5 * rng.normal(size=len(design))).astype(np.float32)
        part = program(regression, Layout.of(regression, data), TUNING)
        places = [np.ones(4, np.float32) + np.float32(step) * np.array([0, 0, 1, 0], np.float32) for step in (0, 2e-4)]
        reference = part._seen(jnp.asarray(places[0]), data)[1]
        potential = jax.jit(part.potential)
        plain, relative = (
            float(potential(places[1], data, given)) - float(potential(places[0], data, given))
            for given in (None, reference)
        )
    errors = data[1].astype(float)[:, None] - design.astype(float) @ np.stack(places, axis=1).astype(float)
    truth = float(np.diff((errors**2).sum(axis=0))[0] / (2 * 0.5**2))
    assert abs(relative - truth) < 0.005
    assert abs(plain - truth) > 0.01


def test_the_log_density_of_draws_is_the_whole_one_in_single_precision_too(regression, regression_data):
    with jax.enable_x64(False):
        single = sample(regression, regression_data, Settings(2, 150, 50, seed=0))
    double = sample(regression, regression_data, Settings(2, 150, 50, seed=0))
    assert single.stats["lp"].mean() == pytest.approx(double.stats["lp"].mean(), abs=3)
    assert single.stats["energy"].mean() == pytest.approx(double.stats["energy"].mean(), abs=3)
    assert abs(double.stats["lp"].mean()) > 10
