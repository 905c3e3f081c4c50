"""Running exponents: their integral, their ends and their means."""

import numpy as np
import pytest

from bayes_atlas.law_error.walks import STEEPEST, STEP, Walk, knot

DRAWS = 6


@pytest.fixture
def walk():
    return Walk(-4, 2, 0.3 * np.random.default_rng(0).standard_normal((DRAWS, 12)))


@pytest.fixture
def exponent():
    return np.linspace(0.2, 0.5, DRAWS)


def at(walk, exponent, log_size):
    return walk.at(exponent, np.full(DRAWS, log_size), slice(None))


def test_it_starts_at_its_origin(walk, exponent):
    local, integral = at(walk, exponent, 2 * STEP)
    assert local == pytest.approx(exponent)
    assert integral == pytest.approx(0)
    assert knot(2 * STEP + 0.1) == 2


def test_a_walk_without_steps_is_the_law(exponent):
    still = Walk(-4, 2, np.zeros((DRAWS, 12)))
    for log_size in (-7.0, -1.3, 0.0, 2.9, 11.0):
        local, integral = at(still, exponent, log_size)
        assert local == pytest.approx(exponent)
        assert integral == pytest.approx(exponent * (log_size - 2 * STEP))


@pytest.mark.parametrize("log_size", [-5.0, -1.9, 0.3, 1.0, 3.9, 9.0])
def test_the_integral_is_that_of_the_local_exponent(walk, exponent, log_size):
    """Against the trapezoid rule on a fine grid."""
    places = np.linspace(2 * STEP, log_size, 20_001)
    local, _ = walk.at(exponent, places[:, None] * np.ones(DRAWS), slice(None))
    by_hand = np.trapezoid(local, places, axis=0)
    assert at(walk, exponent, log_size)[1] == pytest.approx(by_hand, rel=1e-6)


def test_beyond_its_ends_an_exponent_is_constant(walk, exponent):
    (near, _), (far, _) = at(walk, exponent, 10.0), at(walk, exponent, 30.0)
    assert near == pytest.approx(far)


def test_exponents_stay_positive_and_finite(exponent):
    wild = Walk(0, 0, 50 * np.ones((DRAWS, 3)))
    local, integral = at(wild, exponent, 40.0)
    assert local == pytest.approx(exponent * np.exp(STEEPEST))
    assert np.isfinite(integral).all()


def test_elements_name_their_draws(walk, exponent):
    draws = np.array([3, 0, 3])
    local, integral = walk.at(exponent, np.array([0.2, 1.7, 2.4]), draws)
    for position, (draw, log_size) in enumerate(zip(draws, (0.2, 1.7, 2.4), strict=True)):
        one = at(walk, exponent, log_size)
        assert (local[position], integral[position]) == pytest.approx((one[0][draw], one[1][draw]))


def test_the_mean_over_a_growth(walk, exponent):
    _, before = at(walk, exponent, 0.4)
    _, after = at(walk, exponent, 2.4)
    assert walk.mean(exponent, 0.4, 2.0) == pytest.approx((after - before) / 2)
    assert walk.mean(exponent, 0.4, 0.0) == pytest.approx(at(walk, exponent, 0.4)[0])
