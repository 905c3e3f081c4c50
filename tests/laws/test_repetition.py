import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.laws._repetition import effective_tokens

unique = st.floats(1e6, 1e13)
epochs = st.floats(0.01, 1e3)
decay = st.floats(1e-6, 5.0)


@given(unique=unique, epochs=st.floats(0.01, 1.0), lam=st.floats(0.0, 5.0))
def test_up_to_one_epoch_a_token_is_a_token(unique, epochs, lam):
    tokens = unique * epochs
    assert effective_tokens(tokens, unique, lam) == pytest.approx(tokens, rel=1e-12)


@given(unique=unique, epochs=st.floats(1.0, 1e3), lam=st.floats(1e-3, 5.0))
def test_it_is_the_printed_formula_beyond_one_epoch(unique, epochs, lam):
    printed = unique * (1 + (1 - np.exp(-lam * (epochs - 1))) / lam)
    assert effective_tokens(unique * epochs, unique, lam) == pytest.approx(printed, rel=1e-9)


@given(unique=unique, epochs=epochs, lam=decay)
def test_never_more_than_the_ceiling_nor_than_the_tokens(unique, epochs, lam):
    worth = effective_tokens(unique * epochs, unique, lam)
    assert 0 < worth <= min(unique * (1 + 1 / lam), unique * epochs) * (1 + 1e-12)


@given(unique=unique, lam=st.floats(1e-3, 5.0))
def test_the_ceiling_is_reached(unique, lam):
    assert effective_tokens(unique * 1e6, unique, lam) == pytest.approx(unique * (1 + 1 / lam), rel=1e-9)


@given(unique=unique, epochs=epochs, lam=decay, more=st.floats(1.0, 10.0))
def test_more_tokens_are_never_worth_less(unique, epochs, lam, more):
    tokens = unique * epochs
    few, many = effective_tokens(tokens, unique, lam), effective_tokens(tokens * more, unique, lam)
    assert many >= few * (1 - 1e-12)


@given(unique=unique, epochs=epochs)
def test_tends_to_the_tokens_as_lam_tends_to_zero(unique, epochs):
    tokens = unique * epochs
    assert effective_tokens(tokens, unique, 0.0) == pytest.approx(tokens, rel=1e-12)
    gaps = [tokens - effective_tokens(tokens, unique, lam) for lam in (1e-3, 1e-6, 1e-9)]
    assert gaps[0] >= gaps[1] * (1 - 1e-9) >= 0
    assert gaps[2] <= 1e-6 * tokens


@given(tokens=st.floats(1e6, 1e13), lam=st.floats(0.0, 5.0))
def test_endless_data_never_repeats(tokens, lam):
    assert effective_tokens(tokens, np.inf, lam) == tokens
    assert effective_tokens(tokens, None, lam) == tokens


@settings(max_examples=20)
@given(unique=unique, lam=st.floats(0.0, 5.0))
def test_slope_is_continuous_at_one_epoch(unique, lam):
    slope = jax.grad(lambda tokens: effective_tokens(tokens, unique, lam))
    assert slope(unique * (1 - 1e-9)) == pytest.approx(1.0, abs=1e-7)
    assert slope(unique * (1 + 1e-9)) == pytest.approx(1.0, abs=1e-7)


@settings(max_examples=20)
@given(unique=unique, epochs=st.floats(1.1, 100.0), lam=st.floats(0.0, 2.0))
def test_slope_is_the_value_of_the_next_token(unique, epochs, lam):
    slope = jax.grad(lambda tokens: effective_tokens(tokens, unique, lam))(unique * epochs)
    assert slope == pytest.approx(np.exp(-lam * (epochs - 1)), rel=1e-3, abs=1e-9)


@settings(max_examples=20)
@given(unique=unique, epochs=epochs)
def test_gradient_in_lam_is_finite_at_zero(unique, epochs):
    gradient = jax.grad(lambda lam: effective_tokens(unique * epochs, unique, lam))(0.0)
    expected = -unique * max(epochs - 1, 0.0) ** 2 / 2
    assert gradient == pytest.approx(expected, rel=1e-9, abs=1e-6 * unique)


@pytest.mark.parametrize("limit", [1e9, jnp.inf])
@pytest.mark.parametrize("tokens", [0.0, 1e8, 1e9, 1e12])
@pytest.mark.parametrize("lam", [0.0, 1e-9, 0.2, 5.0])
def test_all_gradients_are_finite(tokens, limit, lam):
    gradients = jax.grad(effective_tokens, argnums=(0, 2))(tokens, limit, lam)
    assert all(np.isfinite(gradients))


def test_numpy_and_jax_agree():
    tokens, unique = np.geomspace(1e6, 1e13, 50), np.array([[1e7], [1e10], [np.inf]])
    for lam in (0.0, 1e-5, 0.2, 3.0):
        ours = effective_tokens(tokens, unique, lam)
        np.testing.assert_allclose(effective_tokens(jnp.asarray(tokens), jnp.asarray(unique), lam), ours, rtol=1e-12)


def test_single_precision_keeps_the_small_decay():
    tokens, unique = np.float32(40.0), np.float32(1.0)
    for lam in (1e-7, 1e-5, 1e-3):
        exact = 1 - np.expm1(-lam * 39.0) / lam
        assert effective_tokens(tokens, unique, np.float32(lam)) == pytest.approx(exact, rel=1e-6)
