"""The command `trajectory`."""

import re

import pytest

from bayes_atlas.decisions.trajectory import budgets_between, trajectories
from bayes_atlas.posterior import load_posterior


def test_trajectory(command, saved, document):
    arguments = ("trajectory", saved, "--from", "1e19", "--to", "1e21", "--points", "3")
    result = command(*arguments)
    assert (result.code, result.err) == (0, "")
    assert len(re.findall(r"^ (?:en|sw) +1e\+(?:19|20|21) ", result.out, re.MULTILINE)) == 6
    found = document(command(*arguments, "--language", "sw", "--json"))
    assert set(found) == {"posterior", "unique", "served", "trajectories", "law_error", "numerics", "notes"}
    assert [row["compute"] for row in found["trajectories"]["sw"]] == pytest.approx([1e19, 1e20, 1e21])
    assert found["trajectories"]["sw"][0]["params"]["kind"] == "eti"


def test_trajectory_of_languages_together(command, saved, document):
    weights = ("--weight", "en=1", "--weight", "sw=3", "--unique", "1e10")
    asked = ("trajectory", saved, "--from", "1e19", "--to", "1e21", "--points", "2", "--json", *weights)
    assert set(document(command(*asked))["trajectories"]) == {"en + sw"}
    found = document(command(*asked, "--language", "sw"))["trajectories"]
    assert set(found) == {"sw", "en + sw"}
    assert found["en + sw"][1]["tokens"]["median"] != found["sw"][1]["tokens"]["median"]


def test_trajectory_prints_the_document_of_its_decision(command, saved, document):
    limits = ("--unique", "1e12", "--served", "1e11", "--language", "sw", "--language", "en")
    printed = document(command("trajectory", saved, "--from", "1e19", "--to", "1e21", *limits, "--json"))
    asked = {"languages": ["sw", "en"], "unique": 1e12, "served": 1e11}
    found = trajectories(load_posterior(str(saved)), compute=budgets_between(1e19, 1e21, 9), **asked)
    assert printed == found.to_dict()


def test_trajectory_draws_its_figure(command, saved, tmp_path):
    figure = tmp_path / "trajectory.svg"
    assert command("trajectory", saved, "--from", "1e19", "--to", "1e21", "--plot", figure).code == 0
    assert figure.read_text().startswith("<?xml")
