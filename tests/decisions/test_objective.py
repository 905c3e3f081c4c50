"""Losses and slopes of the languages that count."""

import numpy as np
import pytest

from bayes_atlas.data.names import source_of
from bayes_atlas.decisions.objective import objective
from bayes_atlas.errors import InputError

TOKENS = {"sw": 2e9, "en": 4e10, "fr": 3e9, "yo": 1e9, "hi": 5e9}
UNIQUE = {"sw": 1e9, "en": 1e12, "yo": 5e8}


@pytest.mark.parametrize("law", ["chinchilla", "data_constrained", "atlas"])
def test_slopes_are_those_of_the_loss(of_law, law):
    """By size and by every source: own, named and lumped with others."""
    ahead = objective(of_law(law, draws=20), weights={"sw": 1, "en": 2}, unique=UNIQUE)
    of_params, of_tokens = ahead.slopes(3e9, TOKENS)
    step = 1e-5

    def numeric(params, tokens):
        more, less = (
            ahead.loss(3e9 * params**way, {n: t * tokens.get(n, 1) ** way for n, t in TOKENS.items()})
            for way in (1, -1)
        )
        return (more - less) / (2 * step)

    np.testing.assert_allclose(of_params, numeric(np.exp(step), {}), rtol=1e-5, atol=1e-8)
    for name in TOKENS:
        np.testing.assert_allclose(
            of_tokens[name] + 0 * of_params, numeric(1, {name: np.exp(step)}), rtol=1e-5, atol=1e-8
        )
    if law == "atlas":
        assert (of_tokens["hi"] != 0).all()


def test_draws_may_be_chosen_by_element(of_law):
    ahead = objective(of_law("atlas"), weights={"sw": 1, "en": 2})
    every = ahead.loss(3e9, TOKENS)
    chosen = np.array([7, 7, 100])
    np.testing.assert_array_equal(ahead.loss(3e9, TOKENS, chosen), every[chosen])


def test_sources_that_say_nothing(of_law):
    assert objective(of_law("chinchilla", draws=2), language="sw").unknown_sources(TOKENS) == ["en", "fr", "yo", "hi"]
    assert objective(of_law("atlas", draws=2), language="sw").unknown_sources(TOKENS) == []


def test_a_label_is_no_part_of_the_source():
    assert source_of("fr:multilingual:unimax") == "fr"
    assert source_of("fr") == "fr"


def test_capacity_has_no_outlook(of_law):
    with pytest.raises(InputError, match="fits the law 'capacity', which has no compute-optimal point"):
        objective(of_law("capacity", draws=2), language="sw")
