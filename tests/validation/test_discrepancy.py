"""Errors of a law beyond what was fitted: how far beyond, how large, and what they do to a prediction."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas import validate
from bayes_atlas.errors import InputError
from bayes_atlas.runs import runs_from_frame
from bayes_atlas.validation.discrepancy import FORMS, distance, learned, widened
from bayes_atlas.validation.predict import Prediction

COLUMNS = ("run", "language", "params", "tokens", "loss")
FITTED = [("a", "en", 1e8, 1e10, 3.0), ("b", "en", 1e9, 2e9, 3.0), ("c", "sw", 1e8, 1e9, 3.0)]


def table(*rows):
    return runs_from_frame(pd.DataFrame(rows, columns=COLUMNS))


def test_distance_is_that_of_the_size_that_is_farthest_beyond_by_language():
    fitted = table(*FITTED)
    rows = table(
        ("x", "en", 1e9, 1e9, 3.0),  # as large as has been
        ("y", "en", 1e9, 1e10, 3.0),  # of more compute than any, 2e18 * 3
        ("z", "en", 3e9, 1e8, 3.0),
        ("w", "sw", 1e8, 4e9, 3.0),
    )
    assert distance(rows, fitted) == pytest.approx([0, np.log(5), np.log(3), np.log(4)])


@pytest.mark.parametrize("form", FORMS)
def test_the_size_of_errors_is_learned(form):
    """Of 400 independent errors; the estimate's standard error is about 5 %, false alarms one in a thousand."""
    rng = np.random.default_rng(0)
    beyond = rng.uniform(0.5, 3, 400)
    location = np.log(2.0) + 0.002 * rng.normal(size=(400, 200))
    loss = 2 * np.exp(0.03 * FORMS[form](beyond) * rng.standard_t(4, 400))
    assert learned(Prediction(location, np.array(0.001)), loss, beyond, form) == pytest.approx(0.03, rel=0.2)


def test_where_the_law_is_right_errors_are_small():
    rng = np.random.default_rng(0)
    prediction = Prediction(np.log(2.0) + 0.002 * rng.normal(size=(50, 200)), np.array(0.003))
    loss = 2 * np.exp(0.003 * rng.standard_t(4, 50))
    assert learned(prediction, loss, np.ones(50), "linear") < 0.004


def test_without_rows_beyond_the_prior_is_all_there_is():
    prediction = Prediction(np.full((5, 100), np.log(2.0)), np.array(0.003))
    assert learned(prediction, np.full(5, 2.0), np.zeros(5), "linear") == pytest.approx(0.01, rel=1e-3)


@given(form=st.sampled_from(sorted(FORMS)), size=st.floats(1e-4, 0.5), seed=st.integers(0, 9))
def test_rows_within_what_was_fitted_are_predicted_as_before_and_others_wider(form, size, seed):
    rows = table(*FITTED)
    before = Prediction(np.zeros((3, 400)), np.array(0.01))
    after = widened(before, rows, np.array([0.0, 1.0, 4.0]), form, size, seed)
    np.testing.assert_array_equal(after.location[0], 0)
    spread = np.quantile(np.abs(after.location), 0.9, axis=1)
    expected = size * FORMS[form](np.array([1.0, 4.0])) * 2.132  # of a Student-t with four degrees of freedom
    assert spread[1:] == pytest.approx(expected, rel=0.35)


def test_an_error_is_that_of_all_rows_of_a_language():
    rows = table(*FITTED)
    after = widened(Prediction(np.zeros((3, 50)), np.array(0.01)), rows, np.ones(3), "linear", 0.1, 0)
    np.testing.assert_array_equal(after.location[0], after.location[1])
    assert not np.allclose(after.location[0], after.location[2])


def test_where_the_fitted_runs_are_of_one_compute_the_prior_is_all_there_is():
    rows = [(f"r{n}", "en", 1e8 * 2**n, 1e18 / (6e8 * 2**n), 3.0 + 0.1 * n) for n in range(8)]
    rows += [("large", "en", 1e11, 1e9, 2.5)]
    found = validate(table(*rows), ["chinchilla"], holdout="params", chains=1, warmup=150, draws=50)
    assert found.discrepancy == {"chinchilla": [pytest.approx(0.01)]}


def test_an_unknown_form_is_refused():
    with pytest.raises(
        InputError, match=r"no discrepancy 'cubic'; choose one of: constant, rising, root, linear, or None"
    ):
        validate(table(*FITTED), ["chinchilla"], discrepancy="cubic")
