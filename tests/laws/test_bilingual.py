import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.laws import bilingual
from bayes_atlas.laws.atlas import bts_from_tau

ALONE = {"E": 1.6, "B": 0.6, "beta": 0.35}
tokens = st.floats(1e-2, 1e3)
worths = st.floats(0.4, 1.9)
floors = st.floats(0.95, 1.05)


@given(tokens=tokens, factor=st.floats(1.01, 100), worth=worths, floor=floors)
def test_loss_falls_in_tokens(tokens, factor, worth, floor):
    few, many = (bilingual.loss(count, worth=worth, floor=floor, **ALONE) for count in (tokens, factor * tokens))
    assert many < few


@given(tokens=tokens, worth=worths, floor=floors)
def test_tokens_to_a_loss_are_those_that_led_to_it(tokens, worth, floor):
    loss = bilingual.loss(tokens, worth=worth, floor=floor, **ALONE)
    assert bilingual.tokens_to(loss, worth=worth, floor=floor, **ALONE) == pytest.approx(tokens, rel=1e-6)


@given(anchor=tokens, worth=worths)
def test_with_a_floor_of_one_the_score_is_that_of_the_worth_at_every_anchor(anchor, worth):
    assert bilingual.score(anchor, worth=worth, **ALONE) == pytest.approx(bts_from_tau(worth - 1), abs=1e-6)


@given(anchor=tokens, worth=worths)
def test_a_floor_above_one_lowers_the_score_until_the_loss_is_never_reached(anchor, worth):
    free, shared = (bilingual.score(anchor, worth=worth, floor=floor, **ALONE) for floor in (1.0, 1.02))
    assert shared < free
    assert bilingual.score(1e12, worth=worth, floor=1.02, **ALONE) == -np.inf


def test_a_loss_of_the_run_alone_that_was_high_by_luck_is_taken_off_the_score():
    fair, flattered = (bilingual.score(1.0, worth=1.0, luck=luck, **ALONE) for luck in (0.0, 0.002))
    assert fair == pytest.approx(0.0)
    assert flattered < fair


@given(unit=st.floats(1e-6, 1e6))
def test_a_change_of_units_leaves_the_score(unit):
    scaled = ALONE | {"B": ALONE["B"] * unit ** -ALONE["beta"]}
    one = bilingual.score(2.0, worth=1.2, floor=1.01, **ALONE)
    assert bilingual.score(2.0 / unit, worth=1.2, floor=1.01, **scaled) == pytest.approx(one)
