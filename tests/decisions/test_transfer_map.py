from dataclasses import replace

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy.stats import rankdata

from bayes_atlas import load_posterior
from bayes_atlas.decisions.summary import summarise
from bayes_atlas.decisions.transfer_map import transfer_map
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

LANGUAGES = ["en", "sw", "fr", "hi"]


@pytest.fixture
def found(tiny_posterior):
    rng = np.random.default_rng(0)
    mean = np.array([[np.nan, 0, 0.3, -0.2], [0.1, np.nan, -0.1, 0], [0.4, -0.3, np.nan, 0], [0, 0, 0, np.nan]])
    score = mean + 0.05 * rng.normal(size=(1, 500, 4, 4))
    traits = {name: (("chain", "draw"), rng.normal(0.1, 0.05, (1, 500))) for name in ("script", "genus", "family")}
    coords = {"target": LANGUAGES, "source": LANGUAGES}
    group = xr.Dataset({"score": (("chain", "draw", "target", "source"), score)} | traits, coords)
    info = tiny_posterior.info.model_copy(update={"law": "transfer", "model": "transfer", "languages": LANGUAGES})
    return transfer_map(Posterior(xr.DataTree.from_dict({"posterior": group}), info, "this posterior"))


def test_sources_are_ranked_and_the_target_is_none_of_them(found):
    ranked = found.sources("en", top=1)
    assert [each["source"] for each in ranked] == ["fr", "sw", "hi"]
    assert ranked[0]["probability_top"] > 0.99
    assert ranked[-1]["probability_helps"] < 0.01


def test_top_probabilities_sum_to_the_number_of_places(found):
    np.testing.assert_allclose(found.top_probability(2).sum(axis=1), 2.0)


def test_ranks_are_expected_ranks_of_the_draws(found):
    alone = np.delete(found.score[:, 0], 0, axis=1)  # of en, from sw, fr and hi
    expected = dict(zip(["sw", "fr", "hi"], rankdata(-alone, axis=1).mean(axis=0), strict=True))
    ranked = found.sources("en")
    assert {each["source"]: each["rank"] for each in ranked} == pytest.approx(expected)
    assert np.isnan(found.rank[:, range(4), range(4)]).all()
    assert sum(each["rank"] for each in ranked) == pytest.approx(1 + 2 + 3)


def test_probabilities_and_ranks_have_errors():
    """Of real chains: 4 of 200 draws."""
    posterior = load_posterior("transfer-atlas")
    found = transfer_map(posterior)
    each = found.sources("sw", top=5)[1]
    at, of = found.place("sw"), found.place(each["source"])
    score = found.score[:, at, of]
    better = (np.delete(found.score[:, at], at, axis=1) > score[:, None]).sum(axis=1)
    told = {"probability_helps": score > 0, "probability_top": better < 5, "rank": 1 + better}
    for name, draws in told.items():
        assert each[name] == pytest.approx(draws.mean())
        assert each["mcse"][name] == pytest.approx(by_arviz(draws))
    document = found.pair(each["source"], "sw").to_dict()
    assert document["forth"]["probability_helps_mcse"] == each["mcse"]["probability_helps"]
    back = found.score[:, of, at]
    assert document["probability_forth_exceeds_back_mcse"] == pytest.approx(by_arviz(score > back))
    assert document["forth"]["score"] == each["score"] == summarise(score, chains=4)


def by_arviz(draws):
    chains = xr.Dataset({"x": (("chain", "draw"), draws.reshape(4, -1).astype(float))})
    return float(az.mcse(chains, method="mean")["x"])


def test_a_pair_compares_both_directions(found):
    pair = found.pair("en", "sw").to_dict()
    assert pair["forth"]["target"] == "sw"
    assert pair["probability_forth_exceeds_back"] == pytest.approx(
        1 - found.pair("sw", "en").to_dict()["probability_forth_exceeds_back"]
    )


def test_the_order_holds_every_language_once(found):
    assert sorted(found.order()) == [0, 1, 2, 3]


def test_pairs_that_were_not_measured_are_counted(found):
    rows = found.posterior.info.runs.rows
    assert rows == 12
    assert found.notes == []


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda found: found.sources("xx"), r"no language 'xx'; choose one of: en, sw, fr, hi"),
        (lambda found: found.pair("en", "en"), r"the pair is en with itself"),
        (lambda found: found.sources("en", top=0), r"top is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_answered_says_why(found, ask, message):
    with pytest.raises(InputError, match=message):
        ask(found)


def test_a_posterior_of_another_law_is_refused(tiny_posterior):
    with pytest.raises(InputError, match=r"fits the law 'chinchilla' and has no 'score'"):
        transfer_map(tiny_posterior)


@pytest.fixture
def mine(found):
    return transfer_map(replace(found.posterior, name="<mine>"))


TRAITS = dict.fromkeys(("script", "genus", "family"), ("draw",))


def test_a_map_keeps_what_every_decision_promises(mine, keeps_its_promises):
    keeps_its_promises(mine, {"score": ("draw", "target", "source")} | TRAITS)
    score = mine.draws["score"].sel(target="en", source="fr")
    np.testing.assert_array_equal(score, mine.score[:, 0, 2])
    assert mine.to_dict(0.8)["targets"]["sw"] == mine.sources("sw", probability=0.8)
    assert [row["best source"] for row in mine.rows()][:1] == ["fr"]


def test_an_answer_keeps_what_every_decision_promises(mine, keeps_its_promises):
    found = mine.answer(target="en", pair=("fr", "sw"), top=2)
    keeps_its_promises(found, {"score": ("draw", "source"), "forth": ("draw",), "back": ("draw",)} | TRAITS)
    assert found.draws["source"].to_numpy().tolist() == ["sw", "fr", "hi"]
    np.testing.assert_array_equal(found.draws["forth"], mine.pair("fr", "sw").forth)
    np.testing.assert_array_equal(found.draws["back"], mine.pair("fr", "sw").back)
    document = found.to_dict(0.8)
    assert document["sources"] == mine.sources("en", top=2, probability=0.8)
    assert document["pair"] == mine.pair("fr", "sw").to_dict(0.8)
    assert document["effects"] == mine.effects(0.8)
    assert (document["target"], document["top"]) == ("en", 2)


def test_an_answer_without_a_question_says_what_traits_add(mine, keeps_its_promises):
    found = mine.answer()
    keeps_its_promises(found, TRAITS)
    assert [row["score"] for row in found.rows()] == [f"{name} in common" for name in TRAITS]
    assert found.to_dict()["sources"] is found.to_dict()["pair"] is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": "xx"}, r"no language 'xx'; choose one of: en, sw, fr, hi"),
        ({"pair": ("en", "en")}, r"the pair is en with itself"),
        ({"target": "en", "top": 0}, r"top is 0; it must be at least 1"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_at_once(found, asked, message):
    with pytest.raises(InputError, match=message):
        found.answer(**asked)
