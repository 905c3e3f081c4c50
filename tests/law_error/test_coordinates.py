"""Parameters to vectors and back."""

import numpy as np
import pytest

from bayes_atlas.law_error.coordinates import Coordinates


def drawn(count=7):
    rng = np.random.default_rng(0)
    positive = {name: np.exp(rng.standard_normal(count)) for name in ("E", "A", "B", "alpha", "beta", "lam")}
    return positive | {"tau": rng.standard_normal((count, 2)), "tau_other": rng.standard_normal(count)}


def test_there_and_back():
    parameters = drawn()
    coordinates = Coordinates.of(parameters)
    vectors = coordinates.pack(parameters)
    assert vectors.shape == (7, 9)
    assert coordinates.labels == ["E", "A", "B", "alpha", "beta", "lam", "tau[0]", "tau[1]", "tau_other"]
    for name, values in coordinates.unpack(vectors).items():
        assert values == pytest.approx(parameters[name])


def test_any_vector_gives_positive_parts():
    coordinates = Coordinates.of(drawn())
    found = coordinates.unpack(8 * np.random.default_rng(1).standard_normal((100, 9)))
    for name in ("E", "A", "B", "alpha", "lam"):
        assert (found[name] > 0).all()


def test_the_sum_of_the_parts_is_one_coordinate():
    parameters = drawn()
    total = sum(parameters[name] for name in ("E", "A", "B"))
    assert Coordinates.of(parameters).pack(parameters)[:, 0] == pytest.approx(np.log(total))


def test_a_parameter_that_may_be_negative_in_the_prior_is_no_log():
    posterior, prior = {"phi": np.array([0.1, 0.2])}, {"phi": np.array([-0.1, 0.3])}
    assert Coordinates.of(posterior).positive == [True]
    assert Coordinates.of(posterior, prior).positive == [False]
