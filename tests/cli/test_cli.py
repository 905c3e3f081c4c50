"""The command: what people and programs get from it, on which stream, and with which exit code."""

import itertools
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import bayes_atlas.inference.staleness
import bayes_atlas.validation.review
from bayes_atlas import catalogue, expand, find_crossover, optimum
from bayes_atlas.catalogue import find_model, model_names
from bayes_atlas.cli import console
from bayes_atlas.cli.held_out import print_scores
from bayes_atlas.posterior import load_posterior
from bayes_atlas.validation.prior_power import prior_power
from bayes_atlas.validation.review import Influence, PredictedRows, Review, Sensitivity

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "simulate", "check", "fit", "diagnose", "validate", "compare", "optimum", "trajectory", "mixture", "expand", "tax",
    "plan", "scores", "transfer", "crossover", "list",
)  # fmt: skip


# From a file that cannot be imported, as tests are no package.
BAD_TABLES = runpy.run_path(str(ROOT / "tests" / "data" / "test_bad_tables.py"))["BAD_TABLES"]


# Help


def test_help_teaches_by_example(command):
    result = command("--help")
    assert (result.code, result.err) == (0, "")
    assert "bayes-atlas optimum ./mine --language sw --compute 1e21" in result.out
    assert all(name in result.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example(command, name):
    result = command(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert re.search(rf"(Example: |• )bayes-atlas {name}\b", result.out)


def test_every_command_is_listed_here(command):
    assert set(re.findall(r"^│ (\w+) ", command("--help").out, re.MULTILINE)) == set(COMMANDS)


def test_examples_in_help_are_commands_and_options_that_exist(command):
    known = {name: set(re.findall(r"(?<!\w)--?\w[\w-]*", command(name, "--help").out)) for name in COMMANDS}
    pages = [command("--help").out, *(command(name, "--help").out for name in COMMANDS)]
    examples = {line for page in pages for line in re.findall(r"bayes-atlas (?!\[)(\w+ .*[\w.])", page)}
    assert len(examples) >= 8
    for example in examples:
        name, *arguments = example.split()
        if arguments[0] != "[OPTIONS]":
            assert {argument for argument in arguments if argument.startswith("-")} <= known[name], example


# Mistakes


@pytest.mark.parametrize(("write", "text"), [case[1:] for case in BAD_TABLES], ids=[case[0] for case in BAD_TABLES])
def test_a_bad_table_is_refused_by_check_and_by_fit(command, write, text, tmp_path, refused):
    path = write(tmp_path)
    message = "is not a usable run table"
    refused(command("check", path), text, message)
    refused(command("check", path, "--json"), text, message)
    refused(command("fit", path, "--model", "chinchilla", "-o", tmp_path / "mine"), text, message)
    assert not (tmp_path / "mine").exists()


FIT = ("fit", "{table}", "--model", "chinchilla", "-o", "{new}")
OPTIMUM = ("optimum", "{saved}", "--compute", "1e21")

MISTAKES = {
    "model": (("fit", "{table}", "--model", "astrology"), ["no model is called 'astrology'", *model_names()]),
    "model file": (("fit", "{table}", "--model", "./mine.py"), ["there is no model file", "mine.py"]),
    "warm-up": ((*FIT, "--warmup", "123"), ["warmup is 123; it must be at least", "a multiple of"]),
    "draws": ((*FIT, "--draws", "0"), ["draws is 0; it must be at least"]),
    "chains": ((*FIT, "--chains", "0"), ["chains is 0; it must be at least 1"]),
    "acceptance": ((*FIT, "--target-accept", "2"), ["target_accept is 2.0; it must lie in [.5, 1)"]),
    "tree depth": ((*FIT, "--max-tree-depth", "99"), ["max_tree_depth is 99; it must lie between 1 and 15"]),
    "platform": ((*FIT, "--platform", "abacus"), ["platform is 'abacus'; choose one of: cpu, gpu, tpu"]),
    "language to fit": ((*FIT, "--language", "yo"), ["runs.csv has no language 'yo'; choose from: en"]),
    "label": ((*FIT, "--by", "mood"), ["cannot group runs by 'mood'; choose from: "]),
    "kept draws": ((*FIT, "--keep", "0"), ["'--keep'", "greater than or equal to 1"]),
    "target": (("fit", "{table}", "-o", "{saved}"), ["already holds a posterior", "--force"]),
    "foreign target": (("fit", "{table}", "-o", "{table}", "--force"), ["exists and is no posterior"]),
    "posterior": (("optimum", "astrology", "--compute", "1e21"), ["no posterior is called 'astrology'. Choose"]),
    "posterior folder": (("optimum", "{new}", "--compute", "1e21"), ["there is no posterior folder {new};"]),
    "posterior file": (("diagnose", "{table}"), ["{table} is a file; give the folder"]),
    "unknown decision": (("diagnose", "{saved}", "--decision", "tax"), ["choose one of: optimum, expand, crossover"]),
    "decision's need": (("diagnose", "{saved}", "--decision", "optimum"), ["needs --compute; add --compute 1e22"]),
    "other decision's": (
        ("diagnose", "{saved}", "--decision", "optimum", "--compute", "1e22", "--factor", "4"),
        ["--decision optimum has no --factor; its options are --compute, --language, --unique; leave it out"],
    ),
    "no decision": (("diagnose", "{saved}", "--compute", "1e22"), ["--compute is an option of a decision; add --deci"]),
    "language": ((*OPTIMUM, "--language", "yo"), ["{saved} has no language 'yo'; choose one of: en, sw"]),
    "no language": (OPTIMUM, ["no language was named; choose one of: en, sw"]),
    "compute": (("optimum", "{saved}", "--language", "sw", "--compute", "-1e21"), ["compute is -1e+21; it must be a"]),
    "no compute": (("optimum", "{saved}"), ["Missing option '--compute'"]),
    "infinite compute": (("optimum", "{saved}", "--language", "sw", "--compute", "inf"), ["compute is inf"]),
    "text for compute": (("optimum", "{saved}", "--compute", "much"), ["'--compute'", "number"]),
    "unique": ((*OPTIMUM, "--language", "sw", "--unique", "0"), ["unique is 0.0; it must be a positive number"]),
    "weight": ((*OPTIMUM, "--weight", "sw"), ["--weight is 'sw'; give NAME=VALUE"]),
    "weight twice": ((*OPTIMUM, "--weight", "sw=1", "--weight", "sw=2"), ["--weight is given twice for sw; give"]),
    "weight in words": ((*OPTIMUM, "--weight", "sw=much"), ["--weight sw is 'much'; it must be a number"]),
    "unique in words": ((*OPTIMUM, "--language", "sw", "--unique", "few"), ["--unique is 'few'; it must be a number"]),
    "share": ((*OPTIMUM, "--language", "sw", "--share", "en=1"), ["the loss of sw counts but it has no share"]),
    "figure": ((*OPTIMUM, "--language", "sw", "--plot", "{new}.gif"), ["cannot draw a figure to 'new.gif'"]),
    "place of a figure": ((*OPTIMUM, "--language", "sw", "--plot", "{new}/a.svg"), ["cannot write {new}/a.svg"]),
    "budgets": (("trajectory", "{saved}", "--from", "1e22", "--to", "1e20"), ["budgets run from 1e+22 to 1e+20"]),
    "bound": (("mixture", "{saved}", "--compute", "1e21", "--bound", "sw=a:1"), ["--bound sw is 'a'; it must"]),
    "bounds": (("mixture", "{saved}", "--compute", "1e21", "--bound", "sw=:0.1", "--bound", "en=:0.1"), ["cannot be"]),
    "nothing asked": (("transfer", "transfer-atlas"), ["there is no question; give --target LANGUAGE"]),
    "target to help": (("transfer", "transfer-atlas", "--target", "xx"), ["no language 'xx'; choose one of: en"]),
    "pair": (("transfer", "transfer-atlas", "--pair", "en", "en"), ["the pair is en with itself; name two"]),
    "top": (("transfer", "transfer-atlas", "--target", "sw", "--top", "0"), ["top is 0; it must be at least 1"]),
    "map": (("transfer", "transfer-atlas", "--plot", "{new}.gif"), ["cannot draw a figure to 'new.gif'"]),
    "no scores": (("transfer", "{saved}", "--target", "en"), ["fits the law 'chinchilla' and has no 'score'"]),
    "no checkpoints": (("crossover", "{saved}", "--params", "2e9"), ["'chinchilla', which has no checkpoints"]),
    "size of a crossover": (("crossover", "crossover-atlas", "--params", "0"), ["params is 0.0; it must be a"]),
    "no size": (("crossover", "crossover-atlas"), ["Missing option '--params'"]),
    "planned tokens": (("crossover", "crossover-atlas", "--params", "2e9", "--tokens", "-1"), ["tokens is -1.0"]),
    "points": (("crossover", "crossover-atlas", "--params", "2e9", "--points", "a.csv"), ["--plot"]),
    "charge": (("crossover", "crossover-atlas", "--params", "2e9", "--charge", "-1"), ["charge is -1.0; it"]),
    "rule and charge": (("crossover", "crossover-atlas", "--params", "2e9", "--charge", "1e9"), ["no learning curves"]),
    "study": (("scores", "{table}", "--anchor", "1e9"), ["has no 50/50 bilingual run from scratch"]),
    "no anchor": (("scores", "{table}"), ["Missing option '--anchor'"]),
    "no tau": ((*FIT, "--tau-from", "transfer-atlas"), ["model chinchilla has no tau to take from transfer-atlas"]),
    "tau of others": (("fit", "{table}", "-o", "{new}", "--tau-from", "{saved}"), ["'chinchilla' and has no 'score'"]),
    "no source": (("fit", "{table}", "-o", "{new}", "--tau-from", "transfer-atlas"), ["no score of any named source"]),
    "growth": (("expand", "{saved}", "--factor", "2"), ["fits the law 'chinchilla', which does not include"]),
    "tax": (("tax", "{saved}", "--language", "en", "--compute", "1e21"), ["does not have two configurations of 'en'"]),
    "scenario": (("plan", "{new}.toml", "{saved}"), ["cannot read {new}.toml: No such file"]),
    "law of a simulation": (("simulate", "{new}.csv", "--law", "msl"), ["no simulation follows the law 'msl'; choose"]),
    "probability": ((*OPTIMUM, "--language", "sw", "--probability", "2"), ["probability is 2.0; it must lie between"]),
    "suffix": (("simulate", "{new}.xlsx"), ["end its name in .csv, .parquet or .pq"]),
    "seed": (("simulate", "{new}.csv", "--seed", "-1"), ["the seed is -1; it must be a whole number"]),
    "place": (("simulate", "{new}/deep/runs.csv"), ["cannot write {new}/deep/runs.csv", "choose another path"]),
    "option": (("check", "{table}", "--jason"), ["No such option: --jason"]),
    "argument": (("check",), ["Missing argument 'RUNS'"]),
    "command": (("divine", "{table}"), ["No such command 'divine'"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "texts"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message_that_names_the_rule(command, table, saved, tmp_path, arguments, texts, refused):
    places = {"table": table, "saved": saved, "new": tmp_path / "new"}
    result = command(*(argument.format_map(places) for argument in arguments))
    refused(result, *(text.format_map(places) for text in texts))
    assert not (tmp_path / "new").exists()


def test_no_command_shows_the_help(command):
    result = command()
    assert result.code == 2
    assert "bayes-atlas check runs.csv" in result.out + result.err


def test_paths_in_messages_can_be_copied_however_narrow_the_terminal(tmp_path):
    path = tmp_path / ("a long name " * 15) / "runs.csv"
    finished = subprocess.run(
        [sys.executable, "-m", "bayes_atlas", "optimum", path, "--compute", "1e21"],
        cwd=ROOT, env=os.environ | {"COLUMNS": "40"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"bayes-atlas: there is no posterior folder {path};")
    assert finished.stderr.count("\n") == 1
    assert finished.stdout == ""


def test_the_command_needs_no_package_that_is_not_declared():
    """Typer brings Click along in some versions and not in others, so nothing may import it but Typer."""
    code = "import sys; sys.modules['click'] = None; from bayes_atlas.cli import main; main(['check', '--jason'])"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "No such option: --jason" in finished.stderr


def test_the_installed_command_refuses_as_the_module_does(tmp_path):
    installed = Path(sys.executable).with_name("bayes-atlas")
    finished = subprocess.run([installed, "check", tmp_path], capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "this is a folder" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_interrupt_is_no_traceback(command, monkeypatch, table):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayes_atlas.data.runs.read_runs", interrupted)
    result = command("check", table)
    assert result.code == 130
    assert "Traceback" not in result.err


# check


def test_check_describes_a_table(command, table):
    result = command("check", table)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("runs.csv: 4 rows of 4 runs, 1 language\n")
    assert "100M to 1B" in result.out
    assert re.search(r"\n alpha +(yes|weak|no) ", result.out)


def test_check_as_json(command, table, document):
    result = command("check", table, "--json")
    found = document(result)
    assert result.code == 0
    assert set(found) == {"name", "sources", "total", "by_language", "init", "labels", "identified", "warnings"}
    assert found["total"]["rows"] == 4
    assert found["by_language"]["en"]["params"] == [1e8, 1e9]
    assert {"parameter", "status", "reason"} == set(found["identified"][0])


# list


def test_list_has_a_line_for_each_model_and_posterior(command, saved, monkeypatch):
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: saved.parent)
    result = command("list")
    assert (result.code, result.err) == (0, "")
    for name in model_names():
        assert re.search(rf"^ {name} +\w", result.out, re.MULTILINE)
    assert re.search(r"^ saved +Made by hand +en, sw *$", result.out, re.MULTILINE)


def test_list_as_json(command, saved, monkeypatch, document):
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: saved.parent)
    found = document(command("list", "--json"))
    assert found["posteriors"] == {"saved": {"title": "Made by hand", "languages": ["en", "sw"]}}
    assert list(found["models"]) == model_names()
    assert all(found["models"].values())


# simulate


def test_simulate_writes_runs_and_their_truth(command, tmp_path, document):
    found = document(command("simulate", tmp_path / "runs.csv", "--seed", "3", "--json"))
    assert found == {"runs": 774, "rows": found["rows"], "truth": str(tmp_path / "runs.truth.json")}
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + found["rows"]
    assert json.loads((tmp_path / "runs.truth.json").read_text())["seed"] == 3


# The other decisions


def test_expand(command, capacity, document):
    result = command("expand", capacity, "--factor", "4")
    assert (result.code, result.err) == (0, "")
    assert "4 times as many languages from a compute-optimal run, at the loss of a typical one of en, fr" in result.out
    assert re.search(r"\n compute x +3\.\d+ ", result.out)
    found = document(command("expand", capacity, "--factor", "4", "--json"))
    assert {"params_factor", "tokens_factor", "compute_factor", "tokens_per_language_factor"} <= set(found)
    assert found["params_factor"]["median"] == pytest.approx(1.4, abs=0.05)
    assert found["start"] is None
    assert found["frontier"][0]["infeasible"] >= 0
    start = ("--params", "1e9", "--tokens", "1.6e11", "--languages", "8")
    found = document(command("expand", capacity, "--factor", "4", *start, "--language", "en", "--json"))
    assert found["start"] == {"params": 1e9, "tokens": 1.6e11, "languages": 8.0}


def test_tax(command, labelled, document):
    arguments = ("tax", labelled, "--language", "fr", "--compute", "1e20", "--compute", "1e21")
    result = command(*arguments)
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^ fr:multi +1e\+20 +1\.3\d* +1\.\d+ to 1\.\d+ +yes *$", result.out, re.MULTILINE)
    found = document(command(*arguments, "--json"))
    assert found["baseline"] == "fr:mono"
    assert [row["identified"] for row in found["configurations"]["fr:multi"]] == [True, True]


def test_every_decision_draws_its_figure(command, capacity, labelled, tmp_path):
    decisions = {
        "expand": (capacity, "--factor", "4"),
        "tax": (labelled, "--language", "fr", "--compute", "1e20", "--compute", "1e21"),
    }
    for name, arguments in decisions.items():
        figure = tmp_path / f"{name}.svg"
        assert command(name, *arguments, "--plot", figure).code == 0
        assert figure.read_text().startswith("<?xml")


# fit, killed and interrupted

# Interrupted as from a terminal, also where whatever started the tests ignores interrupts.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from bayes_atlas.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Start a fit of a table in a folder of its own; `finish` waits for it."""
    folder = tmp_path_factory.mktemp("fits")
    sizes = [(params, tokens) for params in (1e8, 1e9, 1e10) for tokens in (1e9, 1e10)]
    rows = [f"r{i},en,{p},{t},{2 + (1e9 / p) ** 0.3 / 3 + (1e9 / t) ** 0.3}" for i, (p, t) in enumerate(sizes)]
    (folder / "runs.csv").write_text("\n".join(["run,language,params,tokens,loss", *rows, ""]))
    started = []

    def start(output, *options, warmup=150, draws=2000, before=""):
        arguments = ["fit", "runs.csv", "--model", "chinchilla", "--chains", 2, "--warmup", warmup, "--draws", draws]
        command = [sys.executable, "-c", before + INTERRUPTIBLE, *map(str, (*arguments, "-o", output, *options))]
        environment = os.environ | {"COLUMNS": "200"}
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield SimpleNamespace(folder=folder, start=start)
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    out, err = process.communicate(timeout=300)
    return SimpleNamespace(code=process.returncode, out=out, err=err)


def stop(process, block, number):
    """Send a signal once the file of a block is there, and while the process runs."""
    give_up = time.monotonic() + 300
    while not block.is_file():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < give_up
        time.sleep(0.002)
    process.send_signal(number)
    return finish(process)


def draws_in(folder):
    return load_posterior(folder).draws["posterior"].to_dataset()


def assert_same_draws(one, other):
    assert set(one) == set(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


@pytest.fixture(scope="module")
def whole(fits):
    """The draws of a fit that nobody stopped."""
    result = finish(fits.start("whole"))
    assert result.code in (0, 1), result.err  # 1 where a check fails
    assert sorted(path.name for path in fits.folder.iterdir()) == ["runs.csv", "whole"]
    return draws_in(fits.folder / "whole")


def test_a_fit_that_was_killed_is_resumed_by_the_same_command(fits, whole, refused):
    unfinished = fits.folder / ".killed.unfinished"
    assert stop(fits.start("killed"), unfinished / "0-2-block4.npz", signal.SIGKILL).code == -signal.SIGKILL
    assert not (fits.folder / "killed").exists()
    refused(
        finish(fits.start("killed", "--resume", "--seed", "1")), "has a different setting of the sampler; repeat the"
    )
    result = finish(fits.start("killed", "--resume"))
    assert result.code in (0, 1), result.err
    assert_same_draws(draws_in(fits.folder / "killed"), whole)
    assert not unfinished.exists()
    refused(finish(fits.start("killed", "--resume", "--force")), "there is no run to resume in .killed.unfinished")


def test_a_second_fit_to_the_same_output_is_refused_and_leaves_the_first_alone(fits, refused):
    first, unfinished = fits.start("twice", warmup=9000), fits.folder / ".twice.unfinished"
    give_up = time.monotonic() + 300
    while not (unfinished / "0-0-block1.npz").is_file():
        assert first.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.002)
    begun = (unfinished / "identity.json").read_text()
    second = finish(fits.start("twice", "--seed", "1", warmup=9000))
    refused(second, f"another fit (process {first.pid}) keeps its progress in .twice.unfinished")
    assert first.poll() is None
    first.kill()
    finish(first)
    assert (unfinished / "identity.json").read_text() == begun
    shutil.rmtree(unfinished)


def test_draws_outlive_a_posterior_that_cannot_be_saved(fits, whole, refused):
    """Saving fails as on a full disk; the same command with --resume then stores the draws."""
    fails = (
        "import bayes_atlas.posterior as p\ndef full(*_):\n    raise OSError(28, 'No space left')\np._write = full\n"
    )
    started = fits.start("full", before=fails)
    refused(
        finish(started), "No space left; free the space for it and add --resume", "they are kept in .full.unfinished"
    )
    assert sorted(path.name for path in fits.folder.iterdir() if "full" in path.name) == [".full.unfinished"]
    assert finish(fits.start("full", "--resume")).code in (0, 1)
    assert_same_draws(draws_in(fits.folder / "full"), whole)
    assert not (fits.folder / ".full.unfinished").exists()


def test_a_fit_that_is_interrupted_while_it_draws_stores_what_there_is(fits, whole):
    unfinished = fits.folder / ".some.unfinished"
    result = stop(fits.start("some"), unfinished / "0-2-block4.npz", signal.SIGINT)
    stored = load_posterior(fits.folder / "some")
    assert result.code == (1 if stored.failed_checks else 0)
    assert "Interrupted: there are fewer draws than requested" in result.out
    assert "Traceback" not in result.err
    sampling = stored.info.sampling
    assert sampling.interrupted
    assert sampling.draws == sampling.kept < 2000
    drawn = stored.draws["posterior"].to_dataset()
    assert drawn.sizes["draw"] == sampling.draws
    assert_same_draws(drawn, whole.isel(draw=range(sampling.draws)))
    assert unfinished.is_dir()
    result = finish(fits.start("some", "--resume", "--force"))
    assert result.code in (0, 1), result.err
    assert_same_draws(draws_in(fits.folder / "some"), whole)
    assert not load_posterior(fits.folder / "some").info.sampling.interrupted
    assert not unfinished.exists()


def test_a_fit_that_is_interrupted_in_warm_up_stores_nothing_and_says_so(fits, whole):
    unfinished = fits.folder / ".none.unfinished"
    result = stop(fits.start("none", warmup=9000), unfinished / "0-0-block1.npz", signal.SIGINT)
    assert (result.code, result.out) == (130, "")
    assert result.err == "Interrupted; .none.unfinished holds the progress: --resume continues it\n"
    assert not (fits.folder / "none").exists()
    assert unfinished.is_dir()


# diagnose


def test_diagnose_passes(command, saved, staleness):
    staleness(False)
    result = command("diagnose", saved)
    assert (result.code, result.err) == (0, "")
    assert "Made by hand: 12 rows, 12 curves, 2 languages" in result.out
    assert re.search(r"\n r_hat_below_1_01 +pass +1\.002 +1\.01 +alpha\[sw\] ", result.out)
    assert "its model still gives the sampled density" in result.out


def test_diagnose_says_what_failed_and_what_to_do(command, failing, staleness):
    staleness(False)
    result = command("diagnose", failing)
    assert (result.code, result.err) == (1, "")
    assert "[bold]by :smile: hand: 12 rows" in result.out
    assert re.search(r"\n r_hat_below_1_01 +FAIL +nan +1\.01 +alpha\[sw\] ", result.out)
    assert "r_hat_below_1_01 failed (nan at alpha[sw]): wait\n" in result.out


def test_diagnose_says_that_a_posterior_is_stale(command, saved, staleness):
    staleness(True)
    result = command("diagnose", saved)
    assert (result.code, result.err) == (1, "")
    assert "STALE: the model has changed since" in result.out


def test_diagnose_does_not_execute_what_a_posterior_names(command, tiny_posterior, tmp_path):
    """Its folder may come from anywhere: only a file that the user names is executed."""
    text = Path(find_model("chinchilla")).read_text(encoding="utf-8")
    (tmp_path / "model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{text}", encoding="utf-8")
    info = tiny_posterior.info.model_copy(update={"model": str(tmp_path / "model.py")})
    replace(tiny_posterior, info=info).save(tmp_path / "gift")
    result = command("diagnose", tmp_path / "gift")
    assert result.code == 0
    assert "Not checked: whether its model" in result.out
    assert "read it, then add --model" in " ".join(result.out.split())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("stale", [False, True])
def test_diagnose_as_json(command, failing, staleness, stale, document):
    staleness(stale)
    result = command("diagnose", failing, "--json")
    found = document(result)
    assert result.code == 1
    assert found["stale"] is stale
    assert [(check["name"], check["passed"], check["value"]) for check in found["checks"]] == [
        ("r_hat_below_1_01", False, "NaN"),
        ("no_divergences", True, 0.0),
    ]
    assert {"title", "model", "law", "languages", "runs", "sampling", "versions", "created"} <= set(found)


DECISIONS = {
    "optimum": ("chinchilla-2022", {"compute": 1e22}, optimum),
    "expand": ("capacity-simulated", {"factor": 4.0, "language": "en"}, expand),
    "crossover": ("crossover-bytes", {"params": 65.8e6, "language": "de", "checkpoint": "en"}, find_crossover),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_diagnose_shows_how_a_decision_depends_on_priors(command, document, name):
    posterior, asked, decide = DECISIONS[name]
    options = [part for option, value in asked.items() for part in (f"--{option}", str(value))]
    arguments = ("diagnose", posterior, "--decision", name, *options, "--law-error", "none", "--probability", "0.8")
    loaded = load_posterior(posterior)
    expected = prior_power(decide(loaded, **asked, law_error="none"), loaded)
    assert document(command(*arguments, "--json"))["prior_power"] == expected.to_dict(0.8)
    result = command(*arguments)
    assert (result.code, result.err) == (0, "")
    assert "its model still gives the sampled density" in result.out
    assert all(f"Remark: {remark}." in result.out for remark in expected.remarks(0.8))
    assert "80% interval" in result.out


@pytest.fixture
def full(monkeypatch):
    """Set what `review_fit` finds: a run that the law cannot account for, and two predictives."""
    rng = np.random.default_rng(0)
    last, observed = np.ones(30, dtype=bool), rng.normal(size=30)
    prior, posterior = (
        PredictedRows("score", [f"r{row}" for row in range(30)], last, observed, scale * rng.normal(size=(30, 200)))
        for scale in (5.0, 1.0)
    )
    sensitivity = [Sensitivity("alpha[sw]", 0.3, 0.01), Sensitivity("E[sw]", 0.01, 0.4)]
    influence = Influence(elpd=12.5, se=1.0, p=3.0, runs=30, limit=0.7, above={})
    found = Review(False, prior, posterior, sensitivity, influence, {"[red]r3": 0.1}, 0.7, {}, {"this": "that"})
    monkeypatch.setattr(bayes_atlas.validation.review, "review_fit", lambda posterior, model: found)


def test_diagnose_in_full_says_what_to_look_at_and_passes(command, saved, full, tmp_path):
    result = command("diagnose", saved, "--full", "--plot", tmp_path / "checks.svg")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"\n r_hat_below_1_01 +pass ", result.out)
    assert re.search(r"\n posterior +-\S+ to \S+ +-\S+ to \S+ +\d+% +\d+% +\d+% +\d+% ", result.out)
    assert re.search(r"\n alpha\[sw\] +0\.3 +0\.01 +strong prior or weak likelihood ", result.out)
    assert re.search(r"\n \[red\]r3 +0\.1 ", result.out)
    assert (
        "PSIS-LOO: ELPD 12.5 (standard error 1), effective parameters: 3; Pareto k above 0.7 for 0 of 30" in result.out
    )
    assert (
        "Remark: the law does not account for [red]r3: outliers with a low weight (noise alone would produce 0.7 "
        "outliers" in result.out
    )
    assert "Not checked: this. It needs that." in result.out
    assert (tmp_path / "checks.svg").read_bytes().startswith(b"<?xml")


def test_diagnose_in_full_as_json(command, saved, full, document):
    found = document(command("diagnose", saved, "--full", "--json"))
    assert found["stale"] is False
    assert found["full"]["outlying"] == {"[red]r3": 0.1}
    assert found["full"]["sensitivity"][0]["diagnosis"] == "strong prior or weak likelihood"
    assert found["full"]["missing"] == {"this": "that"}
    assert set(found["full"]["posterior_predictive"]["coverage"]) == {"0.5", "0.8", "0.9", "0.95"}


def test_diagnose_draws_nothing_that_it_has_not_checked(command, saved, full, monkeypatch, refused):
    refused(command("diagnose", saved, "--plot", "checks.svg"), "add --full, or leave --plot out")
    nothing = Review(False, None, None, None, None, None, None, None, {"prediction": "the runs"})
    monkeypatch.setattr(bayes_atlas.validation.review, "review_fit", lambda posterior, model: nothing)
    refused(command("diagnose", saved, "--full", "--plot", "checks.svg"), "it needs the runs; leave --plot out")


# Validating


@pytest.fixture
def design(tmp_path):
    """Runs of five sizes and lengths on two languages, by Chinchilla's law with noise of 1 %."""
    rng = np.random.default_rng(0)
    lines = ["run,language,params,tokens,loss"]
    for language, floor in (("en", 1.5), ("sw", 1.8)):
        for run, (params, tokens) in enumerate(itertools.product(np.geomspace(1, 100, 5), repeat=2)):
            loss = (floor + 0.9 * params**-0.3 + 0.9 * tokens**-0.3) * np.exp(0.01 * rng.normal())
            lines.append(f"{language}{run},{language},{1e8 * params},{1e9 * tokens},{loss}")
    path = tmp_path / "design.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


SCORES = {"rmse", "r2", "crps", "elpd", "coverage", "width", "pit", "n_test"}


def test_validate_scores_what_was_held_out(command, design, document):
    found = document(command("validate", design, "--model", "varpro", "--holdout", "params", "--json"))
    assert set(found) >= SCORES | {"by_language", "model", "holdout", "n_train", "left_out", "failed_checks"}
    assert list(found["coverage"]) == ["0.5", "0.8", "0.9", "0.95"]
    assert set(found["by_language"]) == {"en", "sw"}
    assert all(set(scores) == SCORES for scores in found["by_language"].values())
    assert (found["n_test"], found["n_train"], found["holdout"], found["model"]) == (10, [40], "params", "varpro")
    shown = command("validate", design, "--model", "varpro", "--holdout", "params")
    assert shown.code == 0
    assert "Held out (params): 10 rows; fitted: 40 rows" in shown.out


def test_validate_on_a_test_table(command, design, document):
    found = document(command("validate", design, "--model", "varpro", "--test", design, "--json"))
    assert (found["n_test"], found["holdout"]) == (50, "design.csv")
    assert "50 runs of design.csv have names that design.csv has too" in found["notes"][0]


def test_validate_exits_with_1_if_a_check_fails(command, design):
    quick = ("--chains", 2, "--warmup", 150, "--draws", 50)
    result = command("validate", design, "--model", "chinchilla", *quick)
    assert result.code == 1
    assert "chinchilla: failed checks of the sampling: " in result.out
    result = command("validate", design, "--model", "chinchilla", *quick, "--json")
    assert (result.code, json.loads(result.out)["failed_checks"] != []) == (1, True)


def test_compare_shows_models_and_baselines_on_the_same_rows(command, design, document):
    found = document(command("compare", design, "--models", "varpro", "--holdout", "tokens", "--json"))
    assert list(found["models"]) == ["varpro", "huber"]
    assert {scores["n_test"] for scores in found["models"].values()} == {10}
    assert all(
        set(scores) == SCORES | {"by_language", "weight", "failed_checks"} for scores in found["models"].values()
    )
    assert sum(scores["weight"] for scores in found["models"].values()) == pytest.approx(1)
    assert set(found["stack"]) == SCORES | {"by_language"}
    assert found["stack"]["n_test"] == 10
    shown = command("compare", design, "--models", "varpro", "--holdout", "tokens").out
    assert re.search(r"^ *stack +10( +\S+){4} +- +[\d.]+( +\d+%){4} *$", shown, re.MULTILINE)
    assert re.search(r"^ *varpro +10 ", shown, re.MULTILINE)
    assert re.search(r"^ *huber +10 ", shown, re.MULTILINE)


def test_names_and_numbers_stay_whole_in_a_narrow_terminal(monkeypatch, capsys):
    """Columns that have no room follow below, beside the names."""
    scores = {"rmse": 0.0123, "r2": 0.987, "crps": 0.00812, "elpd": -1234.5, "n_test": 1234}
    scores |= {"coverage": {"0.5": 0.52, "0.8": 0.8, "0.9": 0.93, "0.95": 1.0}, "width": {"0.9": 0.0345}}
    names = ["data_constrained", "chinchilla", "./models/mine.py"]
    shown = {}
    for width in (80, 120):
        monkeypatch.setattr(console.out, "width", width)
        print_scores(dict.fromkeys(names, scores), "model", dict.fromkeys(names, 0.25))
        shown[width] = capsys.readouterr().out
    for name in names:
        whole, narrow = (
            re.findall(rf"^ {re.escape(name)} +(.*?) *$", shown[width], re.MULTILINE) for width in (120, 80)
        )
        assert (len(whole), len(narrow)) == (1, 2)
        assert whole[0].split() == " ".join(narrow).split()
    assert max(map(len, shown[80].splitlines())) <= 80


LOO = {"elpd", "se", "elpd_diff", "dse", "p_loo", "high_k", "refits", "weight", "failed_checks"}


def test_compare_leaves_out_one_run_at_a_time(command, design, monkeypatch, document):
    """Made-up scores of two models: the better one comes first, and point fits are left out aloud."""
    elpd = {"chinchilla": np.arange(50) % 2, "atlas": np.arange(50) % 2 + 0.5}

    def scored(table, model, refits, settings):
        assert (refits, settings["warmup"]) == (10, 100)
        values = xr.DataArray(elpd[model].astype(float), dims="run")
        score = SimpleNamespace(elpd_i=values, elpd=values.sum(), se=3.5, p=4.0)
        return SimpleNamespace(elpd=score, high_k=["r1"], refits=1, failed_checks=[])

    monkeypatch.setattr("bayes_atlas.validation.loo._score", scored)
    asked = ("compare", design, "--models", "chinchilla,atlas,huber", "--loo", "--warmup", 100)
    found = document(command(*asked, "--json"))
    assert list(found["models"]) == ["atlas", "chinchilla"]
    assert (found["n_runs"], found["n_rows"], found["left_out"]) == (50, 50, {})
    assert found["notes"] == ["huber is a point fit and has no leave-one-out score"]
    assert all(set(scores) == LOO for scores in found["models"].values())
    assert (found["models"]["chinchilla"]["elpd_diff"], found["models"]["chinchilla"]["dse"]) == (-25, 0)
    assert found["models"]["atlas"]["weight"] == pytest.approx(1)
    shown = command(*asked).out
    assert "Left out in turn: each of 50 runs, with all its rows (50 together)" in shown
    assert re.search(r"^ *chinchilla +25\.0 +3\.5 +-25\.0 +0\.0 +4\.0 +1 +1 +0\.00", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--holdout", "params"), "both --loo and --holdout params say what to score; leave one out"),
        (("--test", "later.csv"), "both --loo and --test later.csv say what to score"),
        (("--models", "varpro"), "there is no model to compare; name one, such as atlas"),
    ],
)
def test_leaving_out_single_runs_takes_nothing_else(command, design, arguments, text):
    result = command("compare", design, "--loo", *arguments)
    assert (result.code, result.out) == (2, "")
    assert text in " ".join(result.err.split())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--holdout", "size"), "there is no split 'size'; choose one of: params, tokens, compute, mixture, random"),
        (("--holdout", "mixture"), "design.csv has fewer than two mixtures, so none can be held out"),
        (
            ("--holdout", "params", "--test", "later.csv"),
            "--holdout params and --test later.csv both choose the rows to score",
        ),
        (("--test", "later.csv"), "later.csv"),
        (("--model", "varpo"), "no model is called 'varpo'"),
        (("--model", "transfer"), "model transfer is fitted to pairs, and losses of runs are held out here"),
    ],
)
def test_what_cannot_be_validated(command, design, arguments, text, refused):
    refused(command("validate", design, *arguments), text)


def test_one_size_cannot_be_held_out(command, tmp_path, refused):
    path = tmp_path / "one.csv"
    path.write_text("run,language,params,tokens,loss\n" + "".join(f"r{n},en,1e9,{n + 1}e9,3\n" for n in range(9)))
    refused(command("validate", path, "--holdout", "params"), "has only models of one size", "hold out random runs")
