import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.laws import chinchilla, crossover

TERMS = {"E": 0.7, "A": 0.2, "B": 0.5, "alpha": 0.3, "beta": 0.4}
MANY = st.floats(1e-2, 1e6)
checkpoints = st.fixed_dictionaries(
    {"D_0": st.floats(0.05, 50), "delta": st.floats(0.05, 0.95), "limit": st.floats(0.5, 1e4)}
)


@given(tokens=MANY)
def test_a_run_from_scratch_that_has_caught_on_is_chinchilla(tokens):
    assert abs(crossover.loss(1.0, tokens, **TERMS) - chinchilla.loss(1.0, tokens, **TERMS)) < 1e-12


@given(tokens=MANY, late=st.floats(0, 5), onset=st.floats(1e-2, 10), steep=st.floats(0.5, 10))
def test_catching_on_late_costs_at_most_that_and_half_at_the_onset(tokens, late, onset, steep):
    def lost(seen):
        slow = crossover.loss(1.0, seen, late=late, onset=onset, steep=steep, **TERMS)
        return slow - crossover.loss(1.0, seen, **TERMS)

    assert -1e-12 <= lost(tokens) <= late + 1e-12
    assert abs(lost(onset) - late / 2) < 1e-9


@given(tokens=MANY, more=st.floats(1.01, 100), started=checkpoints)
def test_loss_falls_with_data_from_either_start(tokens, more, started):
    for start in ({}, {"late": 0.5, "onset": 0.3, "steep": 4.0}, started):
        before, after = crossover.loss(1.0, np.array([tokens, more * tokens]), **start, **TERMS)
        assert after <= before + 1e-12


@given(tokens=MANY, started=checkpoints)
def test_without_a_limit_the_checkpoint_stays_ahead(tokens, started):
    warm = crossover.loss(1.0, tokens, **started | {"limit": math.inf}, **TERMS)
    assert warm <= crossover.loss(1.0, tokens, **TERMS)


@given(started=checkpoints)
def test_a_limit_makes_a_crossover(started):
    far = 1e6 * started["limit"]
    warm = crossover.loss(1.0, far, **started, **TERMS)
    assert warm > crossover.loss(1.0, far, **TERMS)
    ends = TERMS["E"] + TERMS["A"] + TERMS["B"] / started["limit"] ** TERMS["beta"]
    assert abs(warm - ends) < 1e-9


@given(seen=MANY, started=checkpoints)
def test_tokens_are_worth_less_than_the_limit_and_than_all_there_are(seen, started):
    worth = crossover.worth(seen, **started)
    assert 0 < worth <= started["limit"] * (1 + 1e-12)
    assert worth <= seen + started["D_0"] * seen ** started["delta"]


@given(seen=MANY, unit=st.floats(1e-3, 1e3), started=checkpoints)
def test_worth_does_not_depend_on_the_unit(seen, unit, started):
    other = {
        "D_0": started["D_0"] * unit ** (started["delta"] - 1),
        "delta": started["delta"],
        "limit": started["limit"] / unit,
    }
    np.testing.assert_allclose(crossover.worth(seen / unit, **other) * unit, crossover.worth(seen, **started))
