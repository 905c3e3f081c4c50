"""How far a plan lies outside the runs of a language: one check for every decision, axis by axis.

The cases are answers that earlier versions gave without a word.
"""

import dataclasses

import numpy as np
import pytest

from bayes_atlas.decisions.crossover import find_crossover
from bayes_atlas.decisions.expand import expand
from bayes_atlas.decisions.hull import outside, outside_of_any
from bayes_atlas.decisions.mixture import mixture
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.tax import efficiency_tax
from bayes_atlas.decisions.trajectory import trajectory
from bayes_atlas.posterior import load_posterior

RANGES = {
    "params": (5.7e7, 1.6e10),
    "tokens": (2.5e8, 3.18e11),
    "compute": (1.4e18, 1.3e22),
    "epochs": (1.0, 1.0),
    "tokens_per_param": (0.04, 341.0),
    "languages": (1.0, 50.0),
}


@pytest.fixture
def ranged(of_law):
    """A posterior whose languages have their own ranges of runs."""

    def build(law, *, languages=("sw", "en", "fr"), **ranges):
        posterior = of_law(law, draws=60)
        own = {name: RANGES | ranges for name in languages}
        runs = posterior.info.runs.model_copy(update={"ranges": RANGES, "ranges_by_language": own})
        return dataclasses.replace(posterior, info=posterior.info.model_copy(update={"runs": runs}))

    return build


def test_inside_nothing_is_said(ranged):
    plan = {"params": 1e9, "tokens": 2e10, "compute": 1.2e20, "epochs": 1.0, "tokens_per_param": 20.0}
    assert outside(ranged("chinchilla"), "sw", **plan) == []


def test_each_axis_is_named_with_its_factor(ranged):
    (note,) = outside(ranged("chinchilla"), "sw", params=1e8, tokens=1.67e12, tokens_per_param=16_700.0)
    assert note == (
        "this extrapolates beyond the runs of sw: tokens 5.25 times the largest of its runs (318B); tokens per "
        "parameter 49 times the largest of its runs (341)"
    )
    (note,) = outside(ranged("chinchilla"), "sw", params=1e6)
    assert note.endswith("parameters 1/57 of the smallest of its runs (57M)")


def test_draws_count_by_their_median(ranged):
    assert outside(ranged("chinchilla"), "sw", params=np.array([1e9, 1e9, 1e15])) == []


def test_of_many_languages_few_are_listed(ranged):
    posterior = ranged("chinchilla")
    own = posterior.info.runs.ranges_by_language | {f"l{number}": RANGES for number in range(9)}
    runs = posterior.info.runs.model_copy(update={"ranges_by_language": own})
    posterior = dataclasses.replace(posterior, info=posterior.info.model_copy(update={"runs": runs}))
    notes = outside_of_any(posterior, {f"l{number}": {"params": 1e12} for number in range(9)})
    assert len(notes) == 4
    assert "6 more languages" in notes[-1]


def test_tokens_beyond_the_runs_though_compute_is_not(ranged):
    """100M parameters on 1.67T tokens: less compute than the largest run."""
    notes = optimum(ranged("chinchilla"), compute=1e21, language="sw", max_params=1e8).notes
    assert any("tokens 5.24 times" in note and "tokens per parameter" in note for note in notes)


def test_a_small_language_beside_a_large_one(ranged):
    """Its own runs count, not the table's."""
    posterior = ranged("chinchilla")
    small = RANGES | {"tokens": (1e6, 6e7), "compute": (1e15, 1e17)}
    own = posterior.info.runs.ranges_by_language | {"sw": small}
    runs = posterior.info.runs.model_copy(update={"ranges_by_language": own})
    posterior = dataclasses.replace(posterior, info=posterior.info.model_copy(update={"runs": runs}))
    assert any("beyond the runs of sw" in note for note in optimum(posterior, compute=1e21, language="sw").notes)
    assert not any("beyond the runs of en" in note for note in optimum(posterior, compute=1e21, language="en").notes)


def test_data_that_always_repeat_are_not_taken_for_unlimited(ranged):
    """Swahili at 6.8 to 452 epochs, without --unique."""
    posterior = ranged("atlas", epochs=(6.8, 452.0))
    note = "every run of sw repeats its data (at least 6.8 epochs), and this answer assumes unlimited data"
    assert any(each.startswith(note) for each in optimum(posterior, compute=1e20, language="sw").notes)
    assert not any("unlimited" in each for each in optimum(posterior, compute=1e20, language="sw", unique=1e9).notes)


@pytest.mark.parametrize("axis", ["tokens", "compute"])
def test_trajectories_mixtures_and_taxes_have_the_same_check(ranged, axis):
    posterior = ranged("atlas", **{axis: (1.0, 1e3)})
    weights = {"sw": 1.0, "en": 1.0}
    decisions = [
        trajectory(posterior, compute=[1e19, 1e20], language="sw"),
        mixture(posterior, compute=1e20, weights=weights),
    ]
    labelled = dataclasses.replace(
        posterior,
        info=posterior.info.model_copy(
            update={
                "languages": ["sw:a", "sw:b"],
                "sources": {"sw:a": [], "sw:b": []},
                "references": dict.fromkeys(("sw:a", "sw:b"), posterior.info.references["sw"]),
                "runs": posterior.info.runs.model_copy(
                    update={"ranges_by_language": dict.fromkeys(("sw:a", "sw:b"), RANGES | {axis: (1.0, 1e3)})}
                ),
            }
        ),
        draws=posterior.draws.map_over_datasets(
            lambda group: (
                group.isel(language=[0, 1]).assign_coords(language=["sw:a", "sw:b"])
                if "language" in group.dims
                else group
            )
        ),
    )
    decisions.append(efficiency_tax(labelled, language="sw", compute=1e20))
    for decision in decisions:
        assert any("extrapolates beyond the runs of sw" in note for note in decision.notes)


def test_many_more_languages_than_the_runs_had(ranged):
    posterior = ranged("capacity")
    notes = expand(posterior, factor=400, params=1e9, tokens=4e11, languages=8).notes
    assert any("languages 64 times the largest of its runs (50)" in note for note in notes)
    assert any("400 times as many languages" in note for note in expand(posterior, factor=400).notes)


def test_a_crossover_far_from_the_sizes_of_its_rule():
    posterior = load_posterior("crossover-atlas")
    notes = find_crossover(posterior, params=7e12, language="de").notes
    assert any("parameters" in note and "times the largest" in note for note in notes)
