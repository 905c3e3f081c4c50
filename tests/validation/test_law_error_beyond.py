"""Errors of a law beyond what was fitted: how far beyond, how large, and what they do to a prediction."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas import validate
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.validation.law_error_beyond import (
    FORMS,
    KINDS,
    LOG_ERRORS,
    distance,
    learned,
    typical,
    unlearned,
    widened,
)
from bayes_atlas.validation.predict import Prediction

COLUMNS = ("run", "language", "params", "tokens", "loss")
FITTED = [("a", "en", 1e8, 1e10, 3.0), ("b", "en", 1e9, 2e9, 3.0), ("c", "sw", 1e8, 1e9, 3.0)]


def table(*rows):
    return runs_from_frame(pd.DataFrame(rows, columns=COLUMNS))


def test_distance_is_beyond_the_largest_of_the_same_language():
    fitted = table(*FITTED)
    rows = table(
        ("x", "en", 1e9, 1e9, 3.0),  # as large as has been
        ("y", "en", 1e9, 1e10, 3.0),  # of more compute than any, which was 6 * 2e18
        ("z", "en", 3e9, 1e8, 3.0),
        ("w", "sw", 1e8, 4e9, 3.0),
    )
    assert distance(rows, fitted, "params") == pytest.approx([0, 0, np.log(3), 0])
    assert distance(rows, fitted, "tokens") == pytest.approx([0, 0, 0, np.log(4)])
    assert distance(rows, fitted, "compute") == pytest.approx([0, np.log(5), 0, np.log(4)])


def scale(probability):
    """The median scale of errors, at a growth of one."""
    return typical(probability, "linear") / scipy.stats.t.ppf(0.75, 4)


def test_a_size_that_is_the_same_within_rounding_is_not_beyond():
    rows = table(("x", "en", 1.01e9, 1e9, 3.0))
    assert distance(rows, table(*FITTED), "params") == 0


def held_out(languages=40, rows=5):
    return table(*[(f"{n}-{m}", f"l{n}", 1e8, 1e9, 3.0) for n in range(languages) for m in range(rows)])


@pytest.mark.parametrize("form", FORMS)
def test_the_size_of_errors_is_learned(form):
    """Of one error for each of 200 languages; the estimate's standard error is about 7 %, false alarms < 1e-2."""
    rng = np.random.default_rng(0)
    rows = held_out(200, 2)
    beyond = rng.uniform(0.5, 3, 400)
    location = np.log(2.0) + 0.002 * rng.normal(size=(400, 200))
    errors = np.repeat(rng.standard_t(4, 200), 2)
    rows["loss"] = ("row", 2 * np.exp(0.03 * FORMS[form](beyond) * errors))
    probability = learned(Prediction(location, np.array(0.001)), rows, beyond, form)
    assert scale(probability) == pytest.approx(0.03, rel=0.2)


def test_one_language_says_no_more_of_the_size_with_more_rows():
    """Its error is known to be .03: of the size there is one observation, and most of the prior's width stays."""

    def of(count):
        rows = held_out(1, count)
        rows["loss"] = ("row", np.full(count, 2 * np.exp(0.03)))
        prediction = Prediction(np.full((count, 200), np.log(2.0)), np.array(0.0005))
        return learned(prediction, rows, np.ones(count), "root")

    np.testing.assert_allclose(of(200), of(5), atol=1e-3)
    lower, upper = np.exp(np.interp([0.05, 0.95], np.cumsum(of(200).sum(axis=0)), LOG_ERRORS))
    assert lower < 0.01 < 0.05 < upper


def test_where_the_law_is_right_errors_are_small():
    rng = np.random.default_rng(0)
    rows = held_out(40, 2)
    rows["loss"] = ("row", 2 * np.exp(0.003 * rng.standard_t(4, 80)))
    prediction = Prediction(np.log(2.0) + 0.002 * rng.normal(size=(80, 200)), np.array(0.003))
    assert scale(learned(prediction, rows, np.ones(80), "linear")) < 0.004


def test_what_the_posterior_is_unsure_of_is_no_error_of_the_law():
    """All rows of a language move together in a draw, by .05, and the law is right."""
    rng = np.random.default_rng(0)
    rows = held_out(5, 10)
    truth = 0.05 * np.repeat(rng.normal(size=5), 10)
    rows["loss"] = ("row", 2 * np.exp(truth + 0.005 * rng.standard_t(4, 50)))
    location = np.log(2.0) + 0.05 * np.repeat(rng.normal(size=(5, 400)), 10, axis=0)
    assert scale(learned(Prediction(location, np.array(0.005)), rows, np.ones(50), "rising")) < 0.02


@pytest.mark.parametrize("beyond", [1.0, 0.01])
def test_large_errors_just_beyond_are_learned(beyond):
    rows = held_out(1, 2)
    rows["loss"] = ("row", np.full(2, 2 * np.exp(0.3)))
    prediction = Prediction(np.full((2, 200), np.log(2.0)), np.array(0.01))
    assert scale(learned(prediction, rows, np.full(2, beyond), "linear")) > 0.03


def test_without_rows_beyond_the_prior_is_all_there_is():
    prediction = Prediction(np.full((3, 100), np.log(2.0)), np.array(0.003))
    probability = learned(prediction, table(*FITTED), np.zeros(3), "linear")
    np.testing.assert_allclose(probability, unlearned())
    assert scale(probability) == pytest.approx(0.01, rel=0.01)
    assert typical(probability, "rising") == pytest.approx(0.01 * np.sqrt(2) * 0.7407, rel=0.01)


def certainly(size, kind="own"):
    """That errors are of this kind, and of the size nearest to `size`."""
    probability = np.zeros((len(KINDS), len(LOG_ERRORS)))
    probability[KINDS.index(kind), np.abs(LOG_ERRORS - np.log(size)).argmin()] = 1
    return probability


@given(form=st.sampled_from(sorted(FORMS)), error=st.floats(1e-4, 0.5), seed=st.integers(0, 9))
def test_rows_within_what_was_fitted_are_predicted_as_before_and_others_wider(form, error, seed):
    rows = table(*FITTED)
    before = Prediction(np.zeros((3, 400)), np.array(0.01))
    probability = certainly(error)
    after = widened(before, rows, {"params": np.array([0.0, 1.0, 4.0])}, form, {"params": probability}, seed)
    np.testing.assert_array_equal(after.location[0], 0)
    spread = np.quantile(np.abs(after.location), 0.9, axis=1)
    size = np.exp(LOG_ERRORS[probability[0].argmax()])
    expected = size * FORMS[form](np.array([1.0, 4.0])) * 2.132  # of a Student-t with four degrees of freedom
    assert spread[1:] == pytest.approx(expected, rel=0.35)


def test_errors_beyond_two_sizes_add_up():
    before = Prediction(np.zeros((3, 4000)), np.array(0.01))
    away = {"params": np.ones(3), "tokens": np.ones(3)}
    probability = {"params": certainly(0.03), "tokens": certainly(0.1)}
    both = widened(before, table(*FITTED), away, "root", probability, 0).location[0]
    assert np.median(np.abs(both)) > np.median(np.abs(0.1 * np.random.default_rng(1).standard_t(4, 4000)))


def test_an_error_is_that_of_all_rows_of_a_language():
    before = Prediction(np.zeros((3, 50)), np.array(0.01))
    after = widened(before, table(*FITTED), {"params": np.ones(3)}, "linear", {"params": certainly(0.1)}, 0)
    np.testing.assert_array_equal(after.location[0], after.location[1])
    assert not np.allclose(after.location[0], after.location[2])


def test_a_common_error_is_that_of_all_languages():
    before = Prediction(np.zeros((3, 50)), np.array(0.01))
    probability = certainly(0.1, "common")
    after = widened(before, table(*FITTED), {"params": np.ones(3)}, "linear", {"params": probability}, 0)
    np.testing.assert_array_equal(after.location[0], after.location[2])


@pytest.mark.parametrize("kind", KINDS)
def test_whether_errors_are_common_is_learned(kind):
    """Of six languages; were they not common, that they agree to a tenth would be a chance of about 1e-5."""
    rng = np.random.default_rng(1)
    rows = held_out(6, 5)
    errors = rng.standard_t(4, 6) if kind == "own" else np.full(6, 1.2)
    rows["loss"] = ("row", 2 * np.exp(0.02 * np.repeat(errors, 5) + 0.002 * rng.standard_t(4, 30)))
    prediction = Prediction(np.full((30, 200), np.log(2.0)), np.array(0.002))
    probability = learned(prediction, rows, np.ones(30), "rising").sum(axis=1)
    assert probability[KINDS.index(kind)] > 0.99


def test_beyond_what_cannot_be_held_out_the_prior_is_all_there_is():
    """All fitted runs are of one compute, so that only the largest sizes can be held out to learn from."""
    rows = [(f"r{n}", "en", 1e8 * 2**n, 1e18 / (6e8 * 2**n), 3.0 + 0.1 * n) for n in range(8)]
    rows += [("large", "en", 1e11, 1e9, 2.5)]
    found = validate(table(*rows), ["chinchilla"], holdout="params", chains=1, warmup=150, draws=50)
    (errors,) = found.discrepancy["chinchilla"]
    assert set(errors) == {"params", "compute"}
    assert errors["compute"] == pytest.approx(typical(unlearned(), "rising"))
    assert errors["params"] != pytest.approx(errors["compute"], rel=1e-3)


def test_an_unknown_form_is_refused():
    with pytest.raises(
        InputError, match=r"no discrepancy 'cubic'; choose one of: constant, rising, root, linear, or None"
    ):
        validate(table(*FITTED), ["chinchilla"], discrepancy="cubic")
