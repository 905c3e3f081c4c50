import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.laws import chinchilla, data_constrained

# Muennighoff et al. 2023: a, b, e and alpha = beta of their fit, and the decay constants.
SCALES = {"A": np.exp(6.255414), "B": np.exp(7.3049974), "alpha": 0.3526596, "beta": 0.3526596}
THETA = SCALES | {"E": np.exp(0.6254804), "R_D": 15.387756, "R_N": 5.309743}

counts = st.floats(1e7, 1e12)


def test_constants_are_the_rounded_ones():
    assert [THETA["A"], THETA["B"]] == pytest.approx([521, 1488], abs=0.5)
    assert THETA["E"] == pytest.approx(1.87, abs=0.005)


@given(unique=counts)
def test_usable_params_are_a_twentieth_of_the_unique_tokens(unique):
    assert data_constrained.usable_params(unique, **SCALES) == pytest.approx(0.051 * unique, rel=0.01)


@given(unique=counts, alpha=st.floats(0.2, 0.6), beta=st.floats(0.2, 0.6))
def test_usable_params_are_compute_optimal_for_the_unique_tokens(unique, alpha, beta):
    theta = SCALES | {"alpha": alpha, "beta": beta}
    usable = data_constrained.usable_params(unique, **theta)
    params, tokens = chinchilla.optimum(6 * usable * unique, **theta)
    assert [params, tokens] == pytest.approx([usable, unique], rel=1e-9)


@given(unique=counts, epochs=st.floats(1.0, 1e3), factor=st.floats(1.0, 1e3))
def test_loss_is_as_printed(unique, epochs, factor):
    usable = data_constrained.usable_params(unique, **SCALES)
    params = usable * factor

    def printed(base, repeats, decay):
        return base + base * decay * (1 - np.exp(-repeats / decay))

    by_hand = (
        THETA["E"]
        + THETA["A"] / printed(usable, factor - 1, THETA["R_N"]) ** THETA["alpha"]
        + THETA["B"] / printed(unique, epochs - 1, THETA["R_D"]) ** THETA["beta"]
    )
    assert data_constrained.loss(params, unique * epochs, unique, **THETA) == pytest.approx(by_hand, rel=1e-9)


@given(tokens=counts, share=st.floats(0.01, 1.0))
def test_a_model_no_larger_than_its_fresh_data_can_use_is_chinchilla(tokens, share):
    params = share * data_constrained.usable_params(tokens, **SCALES)
    plain = chinchilla.loss(params, tokens, **SCALES, E=THETA["E"])
    assert data_constrained.loss(params, tokens, np.inf, **THETA) == pytest.approx(plain, rel=1e-12)


def test_loss_tends_to_its_floor():
    assert data_constrained.loss(1e60, 1e60, np.inf, **THETA) == pytest.approx(THETA["E"])


@given(tokens=counts, factor=st.floats(2.0, 100.0))
def test_excess_parameters_count_for_less(tokens, factor):
    params = factor * data_constrained.usable_params(tokens, **SCALES)
    assert data_constrained.loss(params, tokens, np.inf, **THETA) > chinchilla.loss(
        params, tokens, **SCALES, E=THETA["E"]
    )


@given(compute=st.floats(1e18, 1e25))
def test_first_order_condition_at_the_optimum(compute):
    params, tokens = data_constrained.optimum(compute, **SCALES)
    best = data_constrained.loss(params, tokens, np.inf, **THETA)
    assert best == pytest.approx(chinchilla.loss(params, tokens, **SCALES, E=THETA["E"]))
    for move in (0.8, 0.99, 1.01, 1.25):
        assert data_constrained.loss(params * move, tokens / move, np.inf, **THETA) >= best


@pytest.mark.parametrize("unique", [1e9, 1e11, np.inf])
@pytest.mark.parametrize("params", [1e7, 1e10])
def test_gradients_are_finite(params, unique):
    gradient = jax.grad(lambda theta: data_constrained.loss(params, 1e10, unique, **theta))(THETA)
    assert all(np.isfinite(value) for value in gradient.values())
