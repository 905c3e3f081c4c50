"""The slopes of every law that decisions optimise, against automatic differentiation of the law itself."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayes_atlas.laws import _repetition as repetition
from bayes_atlas.laws import atlas, chinchilla, data_constrained

logs = st.floats(-4.0, 4.0)
terms = {"A": st.floats(0.05, 3), "B": st.floats(0.05, 3), "alpha": st.floats(0.1, 0.8), "beta": st.floats(0.1, 0.8)}
APART = 1e-6  # from a kink, where automatic differentiation of a minimum takes the mean of both sides
TAU = np.array([0.3, -0.2])


def close(slopes, truth):
    for slope, true in zip(slopes, truth, strict=True):
        np.testing.assert_allclose(slope, true, rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(point=st.tuples(logs, logs), theta=st.fixed_dictionaries(terms))
def test_chinchilla(point, theta):
    truth = jax.grad(lambda x: chinchilla.loss(*jnp.exp(x), E=1.0, **theta))(jnp.array(point))
    close(chinchilla.slopes(*np.exp(point), E=1.0, **theta)[:2], truth)


@settings(max_examples=30)
@given(tokens=logs, unique=logs, lam=st.floats(0.0, 2.0))
def test_repetition(tokens, unique, lam):
    assume(abs(tokens - unique) > APART)
    truth = jax.grad(lambda x: repetition.effective_tokens(jnp.exp(x), float(np.exp(unique)), lam))(tokens)
    np.testing.assert_allclose(repetition.slope(np.exp(tokens), np.exp(unique), lam), truth, rtol=1e-9, atol=1e-12)
    assert repetition.slope(3.0, None, lam) == 3.0


@settings(max_examples=60)
@given(
    point=st.tuples(logs, logs),
    unique=st.one_of(st.none(), logs.map(math.exp)),
    theta=st.fixed_dictionaries(terms | {"R_D": st.floats(0.5, 50), "R_N": st.floats(0.5, 50)}),
)
def test_data_constrained(point, unique, theta):
    distinct = min(math.exp(point[1]), unique or math.inf)
    usable = data_constrained.usable_params(distinct, **{name: theta[name] for name in terms})
    assume(abs(point[1] - math.log(unique or 1e9)) > APART and abs(point[0] - math.log(usable)) > APART)
    truth = jax.grad(lambda x: data_constrained.loss(*jnp.exp(x), unique, E=1.0, **theta))(jnp.array(point))
    close(data_constrained.slopes(*np.exp(point), unique, E=1.0, **theta)[:2], truth)


@settings(max_examples=60)
@given(
    point=st.tuples(*[logs] * 5),
    limits=st.tuples(*[logs] * 4),
    theta=st.fixed_dictionaries(terms | {"lam": st.floats(0.01, 1.0), "tau_other": st.floats(-0.3, 0.1)}),
)
def test_atlas_with_transfer_and_interference(point, limits, theta):
    own, first, second, other = map(math.exp, limits)
    more = {"tau": jnp.array(TAU), "source_unique": jnp.array([first, second]), "other_unique": other} | theta

    def loss(x):
        params, tokens, *sources, rest = jnp.exp(x)
        return atlas.loss(params, tokens, own, E=1.0, source_tokens=jnp.stack(sources), other_tokens=rest, **more)

    params, tokens, *sources, rest = map(math.exp, point)
    slopes = atlas.slopes(params, tokens, own, E=1.0, source_tokens=jnp.array(sources), other_tokens=rest, **more)
    truth = jax.grad(loss)(jnp.array(point))
    scale = np.abs(truth).max()
    found = np.array([slopes.params, slopes.tokens, *slopes.source_tokens, slopes.other_tokens])
    assert np.abs(found - truth).max() <= 1e-9 * scale + 1e-12


def test_atlas_broadcasts_over_draws():
    draws = np.random.default_rng(0).uniform(0.2, 0.4, (7, 4))
    theta = {"A": draws[:, 0], "B": draws[:, 1], "alpha": draws[:, 2], "beta": draws[:, 3]}
    slopes = atlas.slopes(
        2.0, 3.0, None, **theta, lam=draws[:, 0], tau=draws[:, :2], source_tokens=np.array([1.0, 2.0])
    )
    assert slopes.params.shape == slopes.tokens.shape == (7,)
    assert slopes.source_tokens.shape == (7, 2)
    assert slopes.other_tokens is None
    with pytest.raises(TypeError, match="lam"):
        atlas.slopes(2.0, 3.0, None, **theta)
