"""The command `mixture`."""

import re

from bayes_atlas.decisions.mixture import mixture
from bayes_atlas.decisions.summary import Summary
from bayes_atlas.posterior import load_posterior


def test_mixture(command, saved, document):
    arguments = ("mixture", saved, "--compute", "1e21", "--weight", "en=1", "--weight", "sw=1", "--bound", "sw=0.3:0.5")
    result = command(*arguments, "--unique", "sw=1e10", "--unique", "en=1e12")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^ share +chosen +uniform +proportional +temperature +unimax *$", result.out, re.MULTILINE)
    found = document(command(*arguments, "--json"))
    assert 0.3 <= found["shares"]["sw"] <= 0.5
    assert found["weights"] == {"en": 0.5, "sw": 0.5}
    assert set(found["baselines"]["uniform"]["gain"]) == set(Summary.__annotations__)
    assert 0 <= found["baselines"]["uniform"]["probability_worse"] <= 1


def test_mixture_prints_the_document_of_its_decision(command, saved, document):
    limits = ("--unique", "sw=1e12", "--max-params", "1e9", "--served", "1e11")
    printed = document(command("mixture", saved, "--compute", "1e21", *limits, "--json"))
    asked = {"unique": {"sw": 1e12}, "max_params": 1e9, "served": 1e11}
    assert printed == mixture(load_posterior(str(saved)), compute=1e21, **asked).to_dict()


def test_mixture_draws_its_figure(command, saved, tmp_path):
    figure = tmp_path / "mixture.svg"
    assert command("mixture", saved, "--compute", "1e21", "--plot", figure).code == 0
    assert figure.read_text().startswith("<?xml")
