import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.data.printed import load_table
from bayes_atlas.laws import crossover_rule

SCALES = [8, 16, 24, 34, 42, 46]


@pytest.mark.parametrize(
    ("rule", "billions"),
    [
        (crossover_rule.PRINTED_TEXT, [38, 69, 118, 209, 341, 526]),
        (crossover_rule.PRINTED_LEGEND, [44, 72, 114, 182, 274, 393]),
    ],
)
def test_tokens_of_the_printed_rules(rule, billions):
    params = load_table("model_sizes").set_index("scale").loc[SCALES, "params"].to_numpy()
    np.testing.assert_allclose(crossover_rule.crossover_tokens(params, **rule) / 1e9, billions, rtol=0, atol=0.5)


def test_printed_rules_lie_among_the_printed_crossovers():
    printed = load_table("crossover_tokens_2b")
    for rule in (crossover_rule.PRINTED_TEXT, crossover_rule.PRINTED_LEGEND):
        tokens = crossover_rule.crossover_tokens(printed.params.iloc[0], **rule)
        assert printed.crossover_tokens.min() < tokens < printed.crossover_tokens.max()


@given(params=st.floats(1e6, 1e12), c=st.floats(1e3, 1e9), gamma=st.floats(1.0, 2.0))
def test_compute_is_six_params_tokens(params, c, gamma):
    tokens = crossover_rule.crossover_tokens(params, c=c, gamma=gamma)
    assert 6 * params * tokens == pytest.approx(crossover_rule.crossover_compute(params, c=c, gamma=gamma))
