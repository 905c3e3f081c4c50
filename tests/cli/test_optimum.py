"""The command `optimum`."""

import re

import numpy as np

from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.summary import Summary
from bayes_atlas.posterior import load_posterior


def test_optimum_for_people(command, saved):
    result = command("optimum", saved, "--language", "sw", "--compute", "1e21", "--probability", "0.8")
    assert (result.code, result.err) == (0, "")
    assert f"{saved}: training in sw with 1e+21 FLOPs" in result.out
    assert "80% interval" in result.out
    assert re.search(r"\n params N +[\d.]+[MBT] +[\d.]+[MBT] to [\d.]+[MBT] ", result.out)
    assert re.search(r"\n loss +[\d.]+ +[\d.]+ to [\d.]+ ", result.out)
    assert "epochs" not in result.out
    assert "failed" not in result.out


def test_optimum_shows_epochs_where_data_are_limited(command, saved):
    result = command("optimum", saved, "--language", "sw", "--compute", "1e21", "--unique", "1e9")
    assert "with 1e+21 FLOPs and 1B unique tokens" in result.out
    assert "epochs over U" in result.out


def test_optimum_as_json(command, saved, document):
    found = document(command("optimum", saved, "--language", "sw", "--compute", "1e21", "--unique", "1e12", "--json"))
    quantities = {"params", "tokens", "loss", "epochs", "tokens_per_param"}
    asked = {"posterior", "language", "compute", "unique", "weights", "shares", "flops", "max_params", "max_tokens"}
    assert (
        set(found)
        == asked
        | {"served", "action", "cautious_action", "notes", "law_error", "if_law_holds", "numerics"}
        | quantities
    )
    assert (found["law_error"], found["if_law_holds"]) == ("none", None)  # this posterior has none stored
    assert (found["posterior"], found["language"], found["compute"]) == (str(saved), "sw", 1e21)
    for name in quantities:
        assert set(found[name]) == set(Summary.__annotations__)
        assert found[name]["lower"] <= found[name]["median"] <= found[name]["upper"]
        assert (found[name]["probability"], found[name]["kind"]) == (0.9, "eti")
    (few,) = found["notes"]
    assert few.startswith("the interval ends of params, tokens, loss are uncertain by ")  # there are only 100 draws


def test_optimum_with_and_without_errors_of_the_law(command, erring_posterior, tmp_path, document):
    """Both are shown, and the difference is explained; `--law-error none` shows the law alone."""
    erring_posterior.save(tmp_path / "erring")
    asked = ("optimum", tmp_path / "erring", "--compute", "1e21")
    result = command(*asked)
    assert result.code == 0
    assert "if the law holds" in result.out
    assert "The first interval allows for errors of the law" in result.out
    assert max(len(line) for line in result.out.splitlines() if line.startswith(" ")) <= 80  # tables
    found = document(command(*asked, "--json"))
    alone = document(command(*asked, "--law-error", "none", "--json"))
    assert (found["law_error"], alone["law_error"], alone["if_law_holds"]) == ("learned", "none", None)
    assert found["if_law_holds"] == {name: alone[name] for name in found["if_law_holds"]}
    wide, narrow = (np.log(here["params"]["upper"] / here["params"]["lower"]) for here in (found, alone))
    assert wide > 1.2 * narrow
    assert found["action"]["regret"]["mean"] > alone["action"]["regret"]["mean"]
    assert "if the law holds" not in command(*asked, "--law-error", "none").out
    result = command(*asked, "--law-error", "some")
    assert (result.code, result.out) == (2, "")
    assert "law_error is 'some'; choose one of: learned, none" in result.err


def test_optimum_of_several_languages(command, saved, document):
    weights = ("--weight", "en=1", "--weight", "sw=3", "--share", "en=0.25", "--share", "sw=0.75")
    limits = ("--unique", "sw=1e10", "--max-params", "1e9", "--max-tokens", "1e12", "--served", "1e11")
    result = command("optimum", saved, "--compute", "1e21", *weights, *limits)
    assert (result.code, result.err) == (0, "")
    assert (
        "training in en 0.25, sw 0.75 for en 0.25, sw 0.75 with 1e+21 FLOPs (6 N D + 2 N x 1e+11 served)" in result.out
    )
    assert re.search(r"\n least expected loss +[\d.]+[MBT] +[\d.]+[MBT] ", result.out)
    found = document(command("optimum", saved, "--compute", "1e21", *weights, *limits, "--json"))
    assert found["weights"] == found["shares"] == {"en": 0.25, "sw": 0.75}
    assert found["unique"] == {"sw": 1e10}
    assert (found["max_params"], found["max_tokens"], found["served"]) == (1e9, 1e12, 1e11)
    assert found["cautious_action"]["cvar"] <= found["action"]["cvar"]


def test_a_decision_from_a_posterior_that_failed_its_checks_says_so(command, failing, document):
    arguments = ("optimum", failing, "--language", "sw", "--compute", "1e21")
    result = command(*arguments)
    note = f"the sampling of {failing} failed the check r_hat_below_1_01 (nan, limit 1.01): wait"
    assert (result.code, result.err) == (0, "")
    assert f"Note: {note}.\n" in result.out
    first, few = document(command(*arguments, "--json"))["notes"]
    assert first == note
    assert few.startswith("the interval ends of params, tokens, loss are uncertain by ")  # there are only 100 draws


def test_optimum_prints_the_document_of_its_decision(command, saved, document):
    asked = {"language": "sw", "unique": 1e12, "max_params": 2e9, "served": 1e11}
    limits = ("--language", "sw", "--unique", "1e12", "--max-params", "2e9", "--served", "1e11")
    printed = document(command("optimum", saved, "--compute", "1e21", *limits, "--probability", "0.8", "--json"))
    assert printed == optimum(load_posterior(str(saved)), compute=1e21, **asked).to_dict(0.8)


def test_optimum_draws_its_figure(command, saved, tmp_path):
    figure = tmp_path / "optimum.svg"
    assert command("optimum", saved, "--compute", "1e21", "--language", "sw", "--plot", figure).code == 0
    assert figure.read_text().startswith("<?xml")


def test_nothing_is_drawn_with_a_probability_that_is_none(command, saved, refused, tmp_path):
    asked = ("--compute", "1e21", "--language", "sw", "--probability", "2", "--plot", tmp_path / "none.svg")
    refused(command("optimum", saved, *asked), "probability is 2.0; it must lie between 0 and 1")
    assert not (tmp_path / "none.svg").exists()
