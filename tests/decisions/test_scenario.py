"""Scenario files: what they may say, and that one answers as its parts do."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from bayes_atlas.decisions.bayes_action import bayes_action
from bayes_atlas.decisions.expand import expand
from bayes_atlas.decisions.mixture import mixture
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.scenario import plan, read_scenario
from bayes_atlas.errors import InputError

FULL = """
title = "Swahili first"
compute = 1e22
probability = 0.8
[weights]
sw = 3
en = 1
[unique]
sw = 2e9
en = 3e12
fr = 4e11
[limits]
params = 8e9
tokens = 5e12
served = 1e11
epochs = 4
[bounds]
fr = [0.0, 0.3]
[compare.even]
sw = 0.333
en = 0.333
fr = 0.333
"""


@pytest.fixture
def scenario(tmp_path):
    def write(text):
        path = tmp_path / "scenario.toml"
        path.write_text(text)
        return read_scenario(path)

    return write


@pytest.fixture
def atlas(of_law):
    return of_law("atlas", draws=30)


def test_a_full_scenario_is_answered_as_its_parts(scenario, atlas):
    answer = plan(scenario(FULL), atlas)
    limits = {"max_params": 8e9, "served": 1e11, "weights": {"sw": 3, "en": 1}}
    unique = {"sw": 2e9, "en": 3e12, "fr": 4e11}
    alone = mixture(
        atlas, compute=1e22, unique=unique, bounds={"fr": (0.0, 0.3)}, compare={"even": dict.fromkeys(unique, 1 / 3)},
        max_epochs=4, max_tokens=5e12, **limits,
    )  # fmt: skip
    assert answer.mixture.plan.shares == alone.plan.shares
    assert list(answer.mixture.baselines) == ["uniform", "proportional", "temperature", "unimax", "even"]
    most = min(5e12, *(4 * size / alone.plan.shares[name] for name, size in unique.items()))
    best = optimum(atlas, compute=1e22, unique=unique, shares=alone.plan.shares, max_tokens=most, **limits)
    np.testing.assert_allclose(answer.optimum.params, best.params)
    assert answer.action.params == bayes_action(best).params
    assert answer.cautious.cvar <= answer.action.cvar
    assert answer.expansion is None
    document = answer.to_dict()
    json.dumps(document, allow_nan=False)
    assert set(document) == {"posterior", "scenario", "mixture", "optimum", "action", "cautious_action", "notes"}
    assert document["optimum"]["params"]["probability"] == 0.8
    assert document["scenario"]["limits"] == {"params": 8e9, "tokens": 5e12, "served": 1e11, "epochs": 4}


def test_shares_that_are_given_are_not_searched_for(scenario, atlas):
    answer = plan(scenario("compute = 1e21\n[weights]\nsw = 1\n[shares]\nsw = 0.25\nen = 0.75"), atlas)
    assert answer.mixture is None
    assert answer.optimum.problem.shares == {"sw": 0.25, "en": 0.75}


def test_one_language_needs_no_mixture(scenario, atlas):
    answer = plan(scenario("compute = 1e21\n[weights]\nsw = 1\n[unique]\nsw = 1e9\n[limits]\nepochs = 2"), atlas)
    assert answer.mixture is None
    assert answer.optimum.tokens.max() <= 2e9 * (1 + 1e-9)


def test_all_languages_count_unless_told(scenario, atlas):
    answer = plan(scenario("compute = 1e21"), atlas)
    assert set(answer.mixture.objective.weights) == {"sw", "en", "fr"}


def test_growth(scenario, of_law):
    posterior = of_law("capacity", draws=30)
    answer = plan(scenario('[expand]\nfactor = 4\nlanguage = "sw"'), posterior)
    np.testing.assert_array_equal(
        answer.expansion.tokens_factor, expand(posterior, factor=4, language="sw").tokens_factor
    )
    assert set(answer.to_dict()) == {"posterior", "scenario", "expand", "notes"}


TEXTS = {
    "key": (
        "budget = 1e21",
        "- budget is not known here; choose from: title, compute, probability, law_error, weights,",
    ),
    "limit": ("[limits]\nsize = 1", "- limits.size is not known here; choose from: params, tokens, epochs, served"),
    "growth": ("[expand]\nfactor = 2\nr = 1", "- expand.r is not known here; choose from: factor, language, params,"),
    "type": ("compute = 'much'", "- compute: Input should be a valid number"),
    "lacking": ("[expand]\nlanguage = 'sw'", "- expand.factor: Field required"),
    "toml": ("compute = = 1", "is not valid TOML: "),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_files_that_cannot_be_used(scenario, text, message):
    with pytest.raises(InputError) as caught:
        scenario(text)
    assert message in str(caught.value)


def test_all_faults_at_once(scenario):
    with pytest.raises(InputError, match=r"(?s)is not a usable scenario:\n- .*\n- "):
        scenario("budget = 1\ncompute = 'much'")


ANSWERS = {
    "budget": ("title = 'x'", "the scenario gives no budget; add a line such as"),
    "language": ("compute = 1e21\n[weights]\nyo = 1", "has no language 'yo'; choose one of: sw, en, fr"),
    "bounds": ("compute = 1e21\n[bounds]\nsw = [0.1]", "bounds of sw are [0.1]; give the least and the largest"),
    "law": ("[expand]\nfactor = 2", "which does not include the number of languages"),
    "epochs": ("compute = 1e21\n[weights]\nsw = 1\n[limits]\nepochs = 0", "limits.epochs is 0.0; it must be"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), ANSWERS.values(), ids=ANSWERS)
def test_questions_that_cannot_be_answered(scenario, atlas, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        plan(scenario(text), atlas)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*absent\.toml: No such file or directory; give the path of a"):
        read_scenario(tmp_path / "absent.toml")


def test_an_answer_keeps_what_every_decision_promises(scenario, atlas, keeps_its_promises):
    answer = plan(scenario("compute = 1e21\n[weights]\nsw = 3\nen = 1"), replace(atlas, name="<mine>"))
    parts = {"mixture": answer.mixture, "optimum": answer.optimum, "action": answer.action}
    parts |= {"cautious_action": answer.cautious}
    dims = {
        f"{name}_{variable}": values.dims
        for name, part in parts.items()
        for variable, values in part.draws.data_vars.items()
    }
    keeps_its_promises(answer, dims)
    np.testing.assert_array_equal(answer.draws["optimum_params"], answer.optimum.params)
    assert answer.to_dict() == answer.to_dict(0.9) != answer.to_dict(0.8)
    assert answer.to_dict(0.8)["posterior"] == "<mine>"
    labels = [row["answer"] for row in answer.rows()]
    assert labels[:2] == ["share of sw", "share of en"]
    assert labels[-2:] == ["params N to act on", "tokens D to act on"]


def test_intervals_of_an_answer_have_the_probability_of_the_scenario(scenario, of_law):
    answer = plan(scenario("probability = 0.5\n[expand]\nfactor = 4"), of_law("capacity", draws=30))
    assert answer.to_dict() == answer.to_dict(0.5)
    assert "50% interval" in repr(answer)
    assert repr(answer).startswith("this posterior: a scenario\n")
