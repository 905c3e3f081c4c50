"""The JSON of a command is the document of its decision, and its table holds the decision's rows."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_atlas import efficiency_tax, find_crossover, frontier, load_posterior, transfer_map
from bayes_atlas.cli import console, main
from bayes_atlas.data.bilingual_design import bilingual_study
from bayes_atlas.data.runs import read_runs
from bayes_atlas.decisions.transfer_scores import transfer_scores

GROWTH = {"factor": 2.0, "language": "en", "params": 2e9, "tokens": 1e11, "languages": 8.0}
RUN = {"params": 65.8e6, "language": "de", "checkpoint": "en", "tokens": 1e10, "unique": 6e9, "charge": 1e9}


@pytest.fixture
def printed(capsys, monkeypatch):
    """Run a command that succeeds: what it wrote to stdout."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(console.out, "width", 120)

    def run(*arguments):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return run


def options(asked):
    return [part for name, value in asked.items() for part in (f"--{name}", value)]


@pytest.fixture
def labelled(tiny_posterior, tmp_path):
    """The path of a posterior of fr in two vocabularies, of which the second costs more."""
    names, noise = ["fr:mono", "fr:multi"], np.exp(0.005 * np.random.default_rng(0).normal(size=(1, 40, 1)))
    centres = {"E": [1, 1], "A": [0.3, 0.32], "B": [0.4, 0.42], "alpha": [0.35, 0.35], "beta": [0.3, 0.3]}
    sites = {name: (("chain", "draw", "language"), noise * values) for name, values in centres.items()}
    info = tiny_posterior.info.model_copy(
        update={"languages": names, "sources": {name: [] for name in names}}
        | {"references": {name: {"params": 1e9, "tokens": 2e10} for name in names}}
        | {"sampling": tiny_posterior.info.sampling.model_copy(update={"chains": 1, "kept": 40})}
    )
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(sites, {"language": names})})
    return replace(tiny_posterior, draws=tree, info=info).save(tmp_path / "labelled").name


def test_expand(printed):
    asked = ("expand", "capacity-simulated", *options(GROWTH), "--probability", "0.8")
    found = frontier(load_posterior("capacity-simulated"), **GROWTH)
    assert json.loads(printed(*asked, "--json")) == found.to_dict(0.8)
    table = printed(*asked)
    assert found.question in table
    assert all(cell in table for row in found.rows(0.8) for cell in row.values())


def test_tax(printed, labelled):
    asked = ("tax", labelled, "--language", "fr", "--compute", "1e20", "--compute", "1e21", "--unique", "1e12")
    found = efficiency_tax(load_posterior(labelled), language="fr", compute=[1e20, 1e21], unique=1e12)
    assert json.loads(printed(*asked, "--json")) == found.to_dict()
    table = printed(*asked)
    assert all(cell in table for row in found.rows() for cell in row.values())


def test_crossover(printed):
    found = find_crossover(load_posterior("crossover-bytes"), **RUN)
    assert json.loads(printed("crossover", "crossover-bytes", *options(RUN), "--json")) == found.to_dict()
    table = printed("crossover", "crossover-bytes", *options(RUN))
    assert found.question in table
    assert all(cell in table for row in found.rows() for cell in row.values())
    assert f"With 10B tokens: {found.choice}; from scratch wins with probability" in table
    assert "Expected loss of being wrong: " in table


def test_crossover_by_the_rule_has_a_range_without_an_end(printed):
    found = find_crossover(load_posterior("crossover-atlas"), params=2e9, language="de")
    document = json.loads(printed("crossover", "crossover-atlas", "--params", "2e9", "--language", "de", "--json"))
    assert document == found.to_dict()
    assert document["range"] == [0.0, None]


def test_transfer(printed):
    asked = ("transfer", "transfer-atlas", "--target", "sw", "--pair", "en", "sw", "--top", "3")
    found = transfer_map(load_posterior("transfer-atlas")).answer(target="sw", pair=("en", "sw"), top=3)
    assert json.loads(printed(*asked, "--json")) == found.to_dict()
    table = printed(*asked)
    assert "transfer-atlas: transfer to sw" in table
    assert "(27 more sources: --json lists all)" in table
    assert "en helps sw more than the reverse with probability" in table


def test_the_figure_of_a_map_needs_no_question(printed, tmp_path):
    document = json.loads(printed("transfer", "transfer-atlas", "--plot", tmp_path / "map.svg", "--json"))
    assert document == transfer_map(load_posterior("transfer-atlas")).answer().to_dict()
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")


def test_the_figure_of_a_crossover(printed, tmp_path):
    printed("crossover", "crossover-bytes", *options(RUN), "--plot", tmp_path / "crossover.svg")
    assert (tmp_path / "crossover.svg").read_text().startswith("<?xml")


def test_scores(printed, monkeypatch, tiny_posterior, tmp_path):
    """Of a fit that is made up: a real one takes long and is scored beside its model."""
    table, names = tmp_path / "runs.csv", ["en", "sw"]
    rows = [
        f"{run},{language},1e9,{tokens if language != 'sw' else 0},{tokens if run != 'en' else 0},{loss}"
        for run, language in (("en", "en"), ("sw", "sw"))
        for tokens, loss in ((1e10, 2.4), (2e10, 2.2), (4e10, 2.0))
    ]
    rows += [
        f"both,{language},1e9,{tokens},{tokens},{loss}"
        for language in names
        for tokens, loss in ((1e10, 2.3), (2e10, 2.1))
    ]
    table.write_text("\n".join(["run,language,params,tokens.en,tokens.sw,loss", *rows, ""]))
    study = bilingual_study(read_runs(table))
    sites = {
        name: (("chain", "draw", "language"), np.full((1, 60, 2), value))
        for name, value in (("E", 1.6), ("B", 0.6), ("beta", 0.35))
    }
    sites |= {
        name: (("chain", "draw", "language", "source"), np.full((1, 60, 2, 2), value))
        for name, value in (("worth", 1.3), ("floor", 1.0))
    }
    info = tiny_posterior.info.model_copy(
        update={"law": "bilingual", "languages": names, "sources": dict.fromkeys(names, names)}
        | {"references": {name: {"params": 1e9, "tokens": 1e10} for name in names}}
        | {"runs": tiny_posterior.info.runs.model_copy(update={"sha256": study.runs.attrs["sha256"]})}
    )
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(sites, {"language": names})})
    fitted = replace(tiny_posterior, draws=tree, info=info)
    given = []
    monkeypatch.setattr("bayes_atlas.inference.fit.fit", lambda *args, **how: given.append((args, how)) or fitted)
    asked = ("scores", table, "--anchor", "2e10", "--chains", "2", "--warmup", "300", "--draws", "250", "--seed", "3")
    found = transfer_scores(fitted, study, [2e10], seed=3)
    assert json.loads(printed(*asked, "--json")) == found.to_dict()
    ((_, model), how) = given[0]
    assert model == "bilingual"
    assert how == {"chains": 2, "warmup": 300, "draws": 250, "max_minutes": 30.0, "seed": 3, "platform": "cpu"}
    output = tmp_path / "scores.csv"
    document = json.loads(printed(*asked, "-o", output, "--probability", "0.8", "--json"))
    assert document == found.save(output).to_dict(0.8)
    text = printed(*asked)
    assert all(cell in text for row in found.rows() for cell in row.values())
