import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.laws import transfer
from bayes_atlas.laws.atlas import tau_from_bts


def test_a_bilingual_run_that_never_gets_there_has_no_finite_score():
    assert transfer.bts(np.inf, 42e9) == -np.inf


@pytest.mark.parametrize(("factor", "score"), [(2.0, 0.0), (1.0, 1.0), (3.4, -1.4)])
def test_neutral_is_twice_the_tokens(factor, score):
    """As the paper reads its scores, §4."""
    assert transfer.bts(factor * 42e9, 42e9) == pytest.approx(score)


@given(tau=st.floats(-0.5, 1.0))
def test_the_score_of_a_worth_gives_that_worth_back(tau):
    assert tau_from_bts(transfer.bts(2 / (1 + tau), 1.0)) == pytest.approx(tau)


def test_a_gain_is_loss_saved_and_scores_add_up():
    assert transfer.gain(1.5, 2.0) == 0.5
    assert transfer.expected_score(level=1.0, receives=0.2, gives=-0.1, common=0.3) == pytest.approx(1.4)
