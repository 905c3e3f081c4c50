import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bayes_atlas.laws import capacity, chinchilla

# Pooled exponents as printed, alpha and beta from the printed phi / alpha = 0.243 and 1 + psi / beta = 0.728 (§5).
PRINTED = {"phi": 0.11, "psi": -0.04, "alpha": 0.11 / 0.243, "beta": -0.04 / (0.728 - 1)}
SCALES = {"E": 0.7, "A": 4000.0, "B": 30.0}

factors = st.floats(1.0, 20.0)
languages = st.integers(1, 50)
exponents = st.fixed_dictionaries(
    {
        "alpha": st.floats(0.2, 0.7),
        "beta": st.floats(0.1, 0.7),
        "phi": st.floats(0.01, 0.2),
        "psi": st.floats(-0.09, 0.05),
    }
)


def optimal_start(count, theta):
    """Size and tokens per language of least loss for `count` languages at 1e21 FLOPs."""
    return chinchilla.optimum(
        1e21 / count,
        A=SCALES["A"] * count ** theta["phi"],
        B=SCALES["B"] * count ** theta["psi"],
        alpha=theta["alpha"],
        beta=theta["beta"],
    )


@pytest.mark.parametrize(
    ("factor", "params", "tokens"), [(2, 1.18, 1.66), (4, 1.40, 2.74), (8, 1.66, 4.54), (16, 1.96, 7.52)]
)
def test_expansion_is_as_printed(factor, params, tokens):
    growth = capacity.expansion(factor, **PRINTED)
    # To half a unit of the last digit, and what the rounded exponents may add to it.
    assert growth.params == pytest.approx(params, abs=0.005)
    assert growth.tokens == pytest.approx(tokens, abs=0.008)
    assert growth.compute == pytest.approx(factor**0.971, rel=1e-3)
    assert growth.tokens_per_language == pytest.approx(tokens / factor, abs=0.005)


@given(factor=factors, start=languages, theta=exponents)
def test_expansion_keeps_the_loss_from_an_optimal_start(factor, start, theta):
    params, tokens = optimal_start(start, theta)
    growth = capacity.expansion(factor, **theta)
    before = capacity.loss(params, tokens, start, **SCALES, **theta)
    after = capacity.loss(
        params * growth.params, tokens * growth.tokens_per_language, start * factor, **SCALES, **theta
    )
    assert after == pytest.approx(before, rel=1e-10)


@given(factor=st.floats(1.5, 20.0), start=languages, theta=exponents, move=st.floats(0.5, 2.0))
def test_no_other_growth_keeps_the_loss_with_less_compute(factor, start, theta, move):
    params, tokens = optimal_start(start, theta)
    weight = capacity.size_weight(params, tokens, start, A=SCALES["A"], B=SCALES["B"], **theta)
    growth = capacity.expansion(factor, **theta)
    params_factor = growth.params * move
    assume(params_factor ** theta["alpha"] > 1.01 * factor ** theta["phi"] * weight)
    per_language = capacity.tokens_at_equal_loss(factor, params_factor, weight, **theta)
    assert factor * per_language * params_factor >= growth.compute * (1 - 1e-9)


@given(factor=factors, start=languages, theta=exponents)
def test_the_cheapest_growth_from_an_optimal_start_is_the_closed_form(factor, start, theta):
    params, tokens = optimal_start(start, theta)
    weight = capacity.size_weight(params, tokens, start, A=SCALES["A"], B=SCALES["B"], **theta)
    cheapest = capacity.cheapest_expansion(factor, weight, **theta)
    assert cheapest == pytest.approx(capacity.expansion(factor, **theta), rel=1e-6)


@given(factor=factors, theta=exponents, weight=st.floats(0.05, 0.95), move=st.floats(0.5, 2.0))
def test_the_cheapest_growth_from_any_start(factor, theta, weight, move):
    cheapest = capacity.cheapest_expansion(factor, weight, **theta)
    on_frontier = capacity.tokens_at_equal_loss(factor, cheapest.params, weight, **theta)
    assert cheapest.tokens_per_language == pytest.approx(on_frontier, rel=1e-6)
    params_factor = cheapest.params * move
    assume(params_factor ** theta["alpha"] > 1.01 * factor ** theta["phi"] * weight)
    per_language = capacity.tokens_at_equal_loss(factor, params_factor, weight, **theta)
    assert factor * per_language * params_factor >= cheapest.compute * (1 - 1e-9)


@given(start=languages, theta=exponents)
def test_weight_of_size_at_the_optimum(start, theta):
    params, tokens = optimal_start(start, theta)
    weight = capacity.size_weight(params, tokens, start, A=SCALES["A"], B=SCALES["B"], **theta)
    assert weight == pytest.approx(theta["beta"] / (theta["alpha"] + theta["beta"]), rel=1e-9)


@given(
    factor=factors,
    params_factor=st.floats(0.7, 30.0),
    start=languages,
    params=st.floats(1e7, 1e10),
    tokens=st.floats(1e8, 1e12),
    theta=exponents,
)
def test_tokens_at_equal_loss_keep_the_loss(factor, params_factor, start, params, tokens, theta):
    weight = capacity.size_weight(params, tokens, start, A=SCALES["A"], B=SCALES["B"], **theta)
    assume(weight < 1 - 1e-6)  # data's share, 1 - weight, is known to a rounding error of weight
    assume(params_factor ** theta["alpha"] > 1.001 * factor ** theta["phi"] * weight)
    per_language = capacity.tokens_at_equal_loss(factor, params_factor, weight, **theta)
    before = capacity.loss(params, tokens, start, **SCALES, **theta)
    after = capacity.loss(params * params_factor, tokens * per_language, start * factor, **SCALES, **theta)
    assert after == pytest.approx(before, rel=1e-8)


def test_no_data_makes_up_for_a_model_that_is_too_small():
    result = capacity.tokens_at_equal_loss(np.array([4.0, 4.0]), np.array([0.5, 1.4]), 0.9, **PRINTED)
    assert np.isnan(result[0])
    assert result[1] > 0


def test_tokens_fall_as_the_model_grows_towards_their_limit():
    weight = PRINTED["beta"] / (PRINTED["alpha"] + PRINTED["beta"])
    tokens = capacity.tokens_at_equal_loss(4.0, np.array([1.2, 1.4, 2.0, 10.0, 1e30]), weight, **PRINTED)
    assert (np.diff(tokens) < 0).all()
    limit = (4.0 ** PRINTED["psi"] * (1 - weight)) ** (1 / PRINTED["beta"])
    assert tokens[-1] == pytest.approx(limit)


@given(params=st.floats(1e7, 1e10), tokens=st.floats(1e8, 1e12), theta=exponents)
def test_one_language_is_chinchilla(params, tokens, theta):
    plain = chinchilla.loss(params, tokens, **SCALES, alpha=theta["alpha"], beta=theta["beta"])
    assert capacity.loss(params, tokens, 1, **SCALES, **theta) == pytest.approx(plain)


@given(params=st.floats(1e7, 1e10), total=st.floats(1e9, 1e13), more=st.floats(1.5, 10.0))
def test_more_languages_in_the_same_budget_raise_the_loss(params, total, more):
    few = capacity.loss(params, total / 4, 4.0, **SCALES, **PRINTED)
    many = capacity.loss(params, total / (4 * more), 4 * more, **SCALES, **PRINTED)
    assert many > few
