"""How draws become a median, a mean and an interval."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bayes_atlas.decisions.monte_carlo import quantile_errors
from bayes_atlas.decisions.summary import Summary, summarise, summarise_all
from bayes_atlas.errors import InputError

ENDS = ("lower", "median", "upper")
DRAWS = arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e9, 1e9))


def test_quantiles_of_known_draws():
    summary = summarise(np.arange(101.0) ** 2, 0.9)
    errors = quantile_errors(np.arange(101.0) ** 2, [(1 - 0.9) / 2, 0.5, (1 + 0.9) / 2], 1)
    assert summary == {
        "median": 2500.0,
        "mean": 3350.0,
        "lower": pytest.approx(25.0),
        "upper": pytest.approx(9025.0),
        "probability": 0.9,
        "kind": "eti",
        "mcse": {name: pytest.approx(error) for name, error in zip(ENDS, errors, strict=True)},
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
    assert {type(value) for key, value in summary.items() if key not in ("kind", "mcse")} == {float}
    assert set(summary["mcse"]) == set(ENDS)
    assert all(error is None or error >= 0 for error in summary["mcse"].values())
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


def test_errors_know_chains():
    """Each of four chains stands elsewhere, so that there are four independent draws rather than 400."""
    draws = np.repeat(np.arange(4.0), 100) + 0.1 * np.random.default_rng(0).normal(size=400)
    assert summarise(draws, chains=4)["mcse"]["median"] > 0.4
    quantities = {"params": draws, "tokens": draws}
    assert summarise_all(quantities, 0.8, chains=4) == dict.fromkeys(quantities, summarise(draws, 0.8, chains=4))


def test_a_summary_of_some_draws():
    draws = np.where(np.arange(400) % 2 == 0, np.random.default_rng(0).normal(size=400), np.inf)
    some = summarise(draws, chains=2, among=np.isfinite(draws))
    alone = summarise(draws[::2], chains=2)
    assert {name: some[name] for name in (*ENDS, "mean")} == {name: alone[name] for name in (*ENDS, "mean")}
    assert all(some["mcse"][name] == pytest.approx(alone["mcse"][name], rel=0.5) for name in ENDS)
