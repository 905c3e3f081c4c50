"""What plans cost, and the plans that spend a budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.decisions.cost import Cost, cost
from bayes_atlas.errors import InputError

logs = st.floats(0.0, 4.0).map(lambda x: 10**x)


def six(params, tokens):
    return 6 * params * tokens


def attention(params, tokens):
    """Grows faster in size than 6 N D."""
    return 6 * params * tokens * (1 + (params / 1e9) ** 0.2)


@pytest.mark.parametrize("flops", [None, six, attention])
@pytest.mark.parametrize("served", [None, 1e12])
@settings(max_examples=20, deadline=None)
@given(tokens=logs, compute=logs)
def test_the_size_spends_the_budget(flops, served, tokens, compute):
    asked = cost(served, flops)
    tokens, compute = 1e9 * tokens, 1e20 * compute
    params = asked.params(tokens, compute)
    np.testing.assert_allclose(asked.total(params, tokens), compute, rtol=1e-9)
    np.testing.assert_allclose(asked.tokens(params, compute), tokens, rtol=1e-6)
    ratio = asked.params(tokens * 1.001, compute) / asked.params(tokens / 1.001, compute)
    np.testing.assert_allclose(asked.slope(tokens, compute), np.log(ratio) / np.log(1.001**2), rtol=1e-4)


def test_a_function_of_the_users_counts_as_what_it_is():
    tokens = np.geomspace(1e8, 1e13, 7)
    for name in ("params", "slope"):
        of_user, plain = (getattr(asked, name)(tokens, 1e22) for asked in (Cost(1e11, six), Cost(1e11)))
        np.testing.assert_allclose(of_user, plain, rtol=1e-7)


def test_serving_may_take_more_than_there_is():
    assert Cost(1e13).tokens(1e12, 1e20) == 0
    assert Cost(1e13, six).tokens(1e12, 1e20) == 0


def test_conventions_have_names():
    assert Cost().convention == "6 N D"
    assert Cost(1e13).convention == "6 N D + 2 N x 1e+13 served"
    assert Cost(0.0, attention).convention == "attention(N, D)"
    assert Cost().is_plain
    assert not Cost(1e13).is_plain
    assert not Cost(0.0, six).is_plain


def test_faults_of_the_user():
    with pytest.raises(InputError, match=r"served is -1.0; it must be a positive number, such as 1e13"):
        cost(-1.0)
    with pytest.raises(InputError, match=r"<lambda>\(N, D\) returned FLOPs that are not positive"):
        cost(None, lambda params, tokens: -params * tokens).params(1e9, 1e20)
    with pytest.raises(InputError, match=r"spends 1e\+20 FLOPs at no size; it must increase in N"):
        cost(None, lambda params, tokens: 0 * params + tokens).params(1e9, 1e20)
