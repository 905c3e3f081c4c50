"""The single plan to act on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.decisions.bayes_action import NEAR, TAIL, bayes_action, cautious_action, worst_mean
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.errors import InputError

REQUESTS = {
    "one language": {"language": "sw"},
    "few tokens": {"language": "sw", "unique": 1e9},
    "limits": {"language": "sw", "max_params": 2e9, "max_tokens": 3e12},
    "mixture": {"weights": {"sw": 3, "en": 1}, "unique": {"sw": 1e9}, "served": 1e12},
}
every_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


@pytest.fixture
def plans(of_law):
    return lambda request: optimum(of_law("atlas", draws=200), compute=1e22, **request)


def grid(asked, compute=1e22):
    tokens = np.geomspace(1e8, 1e16, 4001)[:, None]
    tokens = asked.within_limits(tokens, compute)
    return asked.loss(asked.size(tokens, compute), tokens)


@every_request
def test_no_plan_has_less_expected_loss(plans, request_):
    found = plans(request_)
    action = bayes_action(found)
    assert action.loss.mean() <= grid(found.problem).mean(axis=1).min() * (1 + 1e-12)
    np.testing.assert_allclose(action.loss, found.problem.loss(action.params, action.tokens))
    np.testing.assert_allclose(action.regret, action.loss - found.loss, atol=1e-9)
    assert (action.regret >= 0).all()


@every_request
def test_no_plan_has_less_mean_regret_over_the_worst_draws(plans, request_):
    found = plans(request_)
    cautious = cautious_action(found)
    others = [worst_mean(losses - found.loss, TAIL) for losses in grid(found.problem)]
    assert cautious.cvar <= min(others) * (1 + 1e-9)
    assert cautious.cvar == pytest.approx(worst_mean(cautious.regret, TAIL))
    bayes = bayes_action(found)
    assert cautious.cvar <= bayes.cvar
    assert bayes.regret.mean() <= cautious.regret.mean()


@every_request
def test_the_flat_range_is_where_loss_is_as_good(plans, request_):
    found = plans(request_)
    action, asked = bayes_action(found), found.problem
    smallest, largest = action.near_params
    assert smallest <= action.params <= largest
    for tokens, way in zip(action.near_tokens, (1, -1), strict=True):
        loss = asked.loss(asked.size(tokens, 1e22), tokens).mean()
        assert loss <= action.loss.mean() * (1 + NEAR) * (1 + 1e-9)
        beyond = tokens * 1.05**way
        if asked.within_limits(beyond, 1e22) == beyond:
            assert asked.loss(asked.size(beyond, 1e22), beyond).mean() > action.loss.mean() * (1 + NEAR)


def test_one_draw_is_its_own_optimum(of_law):
    found = optimum(of_law("atlas", draws=1), compute=1e22, language="sw", unique=1e9)
    for action in (bayes_action(found), cautious_action(found)):
        assert action.tokens == pytest.approx(found.tokens[0])
        assert action.regret[0] == pytest.approx(0, abs=1e-12)


def test_everything_in_json(plans):
    action = bayes_action(plans(REQUESTS["few tokens"]))
    document = action.summary(0.8)
    assert set(document) == {"params", "tokens", "tokens_per_param", "loss", "regret", "cvar", "tail", "near"}
    assert action.to_dict(0.8).items() >= document.items()
    assert document["loss"]["probability"] == 0.8
    assert document["tail"] == TAIL
    assert document["near"]["within"] == NEAR


@given(st.lists(st.floats(0, 10, allow_subnormal=False), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_mean_of_the_worst(draws, tail):
    draws = np.array(draws)
    found = worst_mean(draws, tail)
    assert draws.mean() * (1 - 1e-9) <= found <= draws.max() * (1 + 1e-9) + 1e-12
    # Rockafellar and Uryasev: the least over x of x + mean((draws - x)+) / tail, attained at one of the draws.
    by_definition = min(x + np.maximum(draws - x, 0).mean() / tail for x in draws)
    assert found == pytest.approx(by_definition, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("tail", [0, 1, -0.1, np.nan])
def test_a_tail_lies_between_0_and_1(plans, tail):
    with pytest.raises(InputError, match=f"tail is {tail}; it must lie between 0 and 1, such as 0.1"):
        cautious_action(plans(REQUESTS["one language"]), tail)


@every_request
def test_an_action_keeps_what_every_decision_promises(of_law, keeps_its_promises, request_):
    found = optimum(replace(of_law("atlas", draws=50), name="<mine>"), compute=1e22, **request_)
    for action, criterion in ((bayes_action(found), "least expected loss"), (cautious_action(found), "cautious")):
        keeps_its_promises(action, {"loss": ("draw",), "regret": ("draw",), "params": (), "tokens": ()})
        assert float(action.draws["params"]) == action.params
        assert action.rows()[0]["plan to act on"] == action.to_dict()["criterion"] == criterion
        assert action.notes == found.notes
