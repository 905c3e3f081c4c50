import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.laws import chinchilla, family_share

THETA = {"E": 1.1, "A": 482.0, "B": 2085.0, "alpha": 0.35, "beta": 0.37}

params = st.floats(1e7, 1e10)
tokens = st.floats(1e9, 1e12)


@given(params=params, tokens=tokens, gamma=st.floats(0.0, 0.5))
def test_a_family_that_is_the_whole_mixture_follows_chinchilla(params, tokens, gamma):
    alone = family_share.loss(params, tokens, 1.0, **THETA, gamma=gamma)
    assert alone == pytest.approx(chinchilla.loss(params, tokens, **THETA))


@given(params=params, tokens=tokens, share=st.floats(0.01, 0.9), gamma=st.floats(0.01, 0.5))
def test_loss_grows_as_a_power_of_the_share_lost(params, tokens, share, gamma):
    halved = family_share.loss(params, tokens, share / 2, **THETA, gamma=gamma)
    assert halved == pytest.approx(2**gamma * family_share.loss(params, tokens, share, **THETA, gamma=gamma))
