from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.laws import chinchilla, crossover

TERMS = {"E": 0.7, "A": 0.2, "B": 0.5, "alpha": 0.3, "beta": 0.4}


@given(tokens=st.floats(1e-2, 1e3))
def test_without_a_slow_start_it_is_chinchilla(tokens):
    assert abs(crossover.loss(1.0, tokens, ahead=0.0, **TERMS) - chinchilla.loss(1.0, tokens, **TERMS)) < 1e-12


@given(tokens=st.floats(1e-2, 1e6), worth=st.floats(0.2, 50), floor=st.floats(0.8, 1.0))
def test_with_a_floor_of_one_or_less_the_checkpoint_stays_ahead(tokens, worth, floor):
    warm = crossover.loss(1.0, tokens, ahead=worth, floor=floor, **TERMS)
    assert warm <= crossover.loss(1.0, tokens, ahead=0.1, **TERMS)


@given(worth=st.floats(0.2, 50), floor=st.floats(1.001, 1.2))
def test_a_floor_above_one_makes_a_crossover(worth, floor):
    assert crossover.loss(1.0, 1e30, ahead=worth, floor=floor, **TERMS) > crossover.loss(1.0, 1e30, ahead=0.1, **TERMS)
