"""How draws become a median, a mean and an interval."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bayes_atlas.decisions.summary import Summary, summarise, summarise_all
from bayes_atlas.errors import InputError

DRAWS = arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e9, 1e9))


def test_quantiles_of_known_draws():
    summary = summarise(np.arange(101.0) ** 2, 0.9)
    assert summary == {
        "median": 2500.0,
        "mean": 3350.0,
        "lower": pytest.approx(25.0),
        "upper": pytest.approx(9025.0),
        "probability": 0.9,
        "kind": "eti",
    }


def test_the_interval_leaves_out_as_much_below_as_above():
    draws = np.random.default_rng(0).lognormal(size=20_000)
    for probability in (0.5, 0.8, 0.95):
        summary = summarise(draws, probability)
        outside = (1 - probability) / 2
        assert np.mean(draws < summary["lower"]) == pytest.approx(outside, abs=1 / draws.size)
        assert np.mean(draws > summary["upper"]) == pytest.approx(outside, abs=1 / draws.size)


def test_ninety_percent_unless_told():
    draws = np.arange(11.0)
    assert summarise(draws) == summarise(draws, 0.9)


@given(DRAWS, st.floats(0.01, 0.99))
def test_order_and_types(draws, probability):
    summary = summarise(draws, probability)
    assert set(summary) == set(Summary.__annotations__)
    assert draws.min() <= summary["lower"] <= summary["median"] <= summary["upper"] <= draws.max()
    assert {type(value) for key, value in summary.items() if key != "kind"} == {float}
    json.dumps(summary, allow_nan=False)


@given(DRAWS, st.floats(0.1, 0.5), st.floats(0.5, 0.9))
def test_more_probability_needs_a_wider_interval(draws, less, more):
    narrow, wide = summarise(draws, less), summarise(draws, more)
    assert wide["lower"] <= narrow["lower"]
    assert narrow["upper"] <= wide["upper"]


@pytest.mark.parametrize("probability", [0, 1, -0.1, 2, 90, np.nan])
def test_a_probability_lies_between_0_and_1(probability):
    with pytest.raises(InputError, match=rf"^probability is {probability}; it must lie between 0 and 1, such as 0\.9$"):
        summarise(np.arange(3.0), probability)


def test_all_by_name():
    quantities = {"params": np.arange(5.0), "tokens": np.arange(7.0)}
    assert summarise_all(quantities, 0.8) == {name: summarise(draws, 0.8) for name, draws in quantities.items()}
