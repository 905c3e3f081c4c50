from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.decisions.crossover import find_crossover, outlying
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior, load_posterior

DRAWS = 200


def posterior_of(tiny_posterior, law, sites, **info):
    coords = {"language": ["en", "sw"], "source": ["multi", "other"], "run": ["a", "b", "failed"]}
    arrays = {name: (("chain", "draw", *dims), values[None]) for name, (dims, values) in sites.items()}
    used = {dim for dims, _ in sites.values() for dim in dims}
    group = xr.Dataset(arrays, {name: values for name, values in coords.items() if name in used})
    changed = tiny_posterior.info.model_copy(update={"law": law, "model": law, "languages": ["en", "sw"], **info})
    return Posterior(xr.DataTree.from_dict({"posterior": group}), changed, "this posterior")


@pytest.fixture
def curves(tiny_posterior):
    def build(limit):
        each = {"E": 0.7, "A": 0.2, "B": 0.5, "alpha": 0.3, "beta": 0.4, "lam": 0.2}
        each |= {"late": 0.5, "onset": 0.1, "steep": 4.0, "delta": 0.4}
        sites = {name: (("language",), np.full((DRAWS, 2), value)) for name, value in each.items()}
        for name, value in (("D_0", 2.0), ("limit", limit)):
            sites[name] = (("language", "source"), np.full((DRAWS, 2, 2), value))
        sites["weight"] = (("run",), np.tile([1.2, 1.1, 0.01], (DRAWS, 1)))
        sources = {name: ["multi", "other"] for name in ("en", "sw")}
        return posterior_of(tiny_posterior, "crossover", sites, sources=sources)

    return build


@pytest.fixture
def rule(tiny_posterior):
    rng = np.random.default_rng(0)
    own = np.log([[1e11, 2e11]]) + 0.1 * rng.normal(size=(DRAWS, 2))
    sites = {
        "log_tokens": (("language",), own),
        "log_tokens_location": ((), np.full(DRAWS, np.log(1.4e11))),
        "log_tokens_scale": ((), np.full(DRAWS, 0.3)),
        "gamma": ((), np.full(DRAWS, 1.6)),
    }
    return posterior_of(tiny_posterior, "crossover_rule", sites, references={"en": {"params": 2e9}})


def test_losses_meet_at_the_crossover(curves):
    posterior = curves(1.0)
    found = find_crossover(posterior, params=1e9, language="en", checkpoint="multi")
    assert found.probability_none == 0
    at = find_crossover(posterior, params=1e9, language="en", checkpoint="multi", tokens=float(found.tokens[0]))
    assert abs(at.lead).max() < 1e-3
    below, above = (
        find_crossover(posterior, params=1e9, language="en", checkpoint="multi", tokens=factor * found.tokens[0])
        for factor in (0.5, 2.0)
    )
    assert (below.choice, above.choice) == ("checkpoint", "scratch")


def test_without_a_limit_there_is_none(curves):
    found = find_crossover(curves(np.inf), params=1e9, language="en", checkpoint="multi", tokens=1e10)
    assert found.probability_none == 1
    assert found.summary() == {"tokens": None, "compute": None}
    assert found.probability_scratch_wins == 0


def test_a_size_that_no_run_has_is_noted(curves):
    for params, noted in ((1e9, False), (1e12, True)):
        found = find_crossover(curves(1.0), params=params, language="en", checkpoint="multi")
        assert any("parameters" in note and "times the largest" in note for note in found.notes) == noted


def test_charging_the_checkpoint_brings_the_crossover_forward(curves):
    free, paid = (
        find_crossover(curves(1.0), params=1e9, language="en", checkpoint="multi", charge=charge).tokens[0]
        for charge in (0.0, 1e9)
    )
    assert paid < free


def test_a_failed_run_is_named(curves):
    posterior = curves(1.0)
    assert outlying(posterior) == ["failed"]
    notes = find_crossover(posterior, params=1e9, language="en", checkpoint="multi").notes
    assert any("the run failed is an outlier" in note for note in notes)


def test_the_rule_scales_with_size_and_knows_new_languages(rule):
    small, large = (find_crossover(rule, params=size, language="en").tokens for size in (2e9, 4e9))
    np.testing.assert_allclose(large / small, 2**0.6)
    new = find_crossover(rule, params=2e9, language="xx", tokens=1.4e11)
    assert np.log(new.tokens).std() > 2 * np.log(small).std()
    assert any("this is a new language" in note for note in new.notes)
    assert new.to_dict()["expected_loss_of_being_wrong"] is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"params": -1.0}, r"params is -1.0; it must be a positive number"),
        ({"params": 1e9, "checkpoint": "xx"}, r"there is no checkpoint 'xx'; choose one of: multi, other"),
        ({"params": 1e9}, r"no checkpoint was named; choose one of: multi, other"),
        ({"params": 1e9, "charge": -1.0}, r"charge is -1.0; it must be at least 0"),
    ],
)
def test_what_cannot_be_answered_says_why(curves, asked, message):
    with pytest.raises(InputError, match=message):
        find_crossover(curves(1.0), language="en", **asked)


def test_other_laws_know_no_checkpoints(tiny_posterior):
    with pytest.raises(InputError, match=r"which has no checkpoints"):
        find_crossover(tiny_posterior, params=1e9)


def test_a_crossover_of_curves_keeps_what_every_decision_promises(curves, keeps_its_promises):
    asked = {"params": 1e9, "language": "en", "checkpoint": "multi", "tokens": 1e10, "charge": 1e9}
    found = find_crossover(replace(curves(1.0), name="<mine>"), **asked)
    keeps_its_promises(found, dict.fromkeys(("tokens", "compute", "scratch_wins", "lead"), ("draw",)))
    np.testing.assert_array_equal(found.draws["compute"], 6 * 1e9 * found.tokens)
    assert found.draws["compute"].attrs["units"] == "FLOPs"
    document = found.to_dict(0.8)
    given = {name: document[name] for name in ("language", "params", "planned_tokens", "checkpoint", "charge")}
    assert given == {"language": "en", "params": 1e9, "planned_tokens": 1e10, "checkpoint": "multi", "charge": 1e9}
    assert document["expected_loss_of_being_wrong"] == found.loss_of_being_wrong


def test_a_crossover_by_the_rule_keeps_what_every_decision_promises(rule, keeps_its_promises):
    """Its range has no upper end, for which JSON has no number."""
    found = find_crossover(replace(rule, name="<mine>"), params=2e9, language="en")
    keeps_its_promises(found, dict.fromkeys(("tokens", "compute"), ("draw",)))
    assert found.to_dict()["range"] == [0.0, None]


def test_no_crossover_in_range_is_a_cell(curves, keeps_its_promises):
    found = find_crossover(replace(curves(np.inf), name="<mine>"), params=1e9, language="en", checkpoint="multi")
    keeps_its_promises(found, dict.fromkeys(("tokens", "compute"), ("draw",)))
    assert [row["median"] for row in found.rows()] == ["none in range"] * 2


def test_a_crossover_below_the_range_is_called_so():
    """If its own training is charged to the checkpoint, scratch is better from the fewest tokens on."""
    charged = find_crossover(
        load_posterior("crossover-bytes"), language="de", checkpoint="en", params=65.8e6, charge=1e13
    )
    assert charged.probability_below == 1
    assert charged.to_dict()["probability_below_range"] == 1
    tokens, compute = charged.rows()
    assert tokens["median"] == tokens["90% interval"] == f"below {charged.within[0]:.3g}"
    assert compute["median"].startswith("below ")
    free = find_crossover(load_posterior("crossover-bytes"), language="de", checkpoint="en", params=65.8e6)
    assert free.probability_below == 0
    assert "below" not in str(free.rows())
