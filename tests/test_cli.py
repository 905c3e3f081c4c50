"""The command: what people and programs get from it, on which stream, and with which exit code."""

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import bayes_atlas.staleness
from bayes_atlas import catalogue
from bayes_atlas.catalogue import model_names
from bayes_atlas.cli import _number, main
from bayes_atlas.decisions.summary import Summary

ROOT = Path(__file__).parents[1]
COMMANDS = ("simulate", "check", "fit", "diagnose", "optimum", "list")


# From the file beside this one, which cannot be imported, as tests are no package.
BAD_TABLES = runpy.run_path(str(Path(__file__).with_name("test_bad_tables.py")))["BAD_TABLES"]


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """Help and tables of a known width, without colours wherever this runs."""
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def command(capsys):
    """Run the command in this process: the exit code, what it wrote to stdout, and to stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit, match=r"^\d+$") as caught:
            main([str(argument) for argument in arguments])
        return SimpleNamespace(code=caught.value.code, **capsys.readouterr()._asdict())

    return run


@pytest.fixture
def table(tmp_path):
    """The path of a sound run table."""
    path = tmp_path / "runs.csv"
    sizes = [(params, tokens) for params in (1e8, 1e9) for tokens in (1e9, 1e10)]
    rows = [f"r{i},en,{params},{tokens},{2 + 1e8 / params + 1e9 / tokens}" for i, (params, tokens) in enumerate(sizes)]
    path.write_text("\n".join(["run,language,params,tokens,loss", *rows, ""]))
    return path


@pytest.fixture
def saved(tiny_posterior, tmp_path):
    """The folder of a posterior whose checks all passed."""
    tiny_posterior.save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def failing(tiny_posterior, tmp_path):
    """The folder of a posterior whose R-hat is NaN, with a title that looks like markup."""
    r_hat, divergences = tiny_posterior.info.checks
    checks = [r_hat.model_copy(update={"passed": False, "value": float("nan")}), divergences]
    info = tiny_posterior.info.model_copy(update={"checks": checks, "title": "[bold]by :smile: hand"})
    replace(tiny_posterior, info=info).save(tmp_path / "failing")
    return tmp_path / "failing"


@pytest.fixture
def staleness(monkeypatch):
    """Set what `is_stale` will say."""
    return lambda stale: monkeypatch.setattr(bayes_atlas.staleness, "is_stale", lambda posterior: stale)


def refused(result, *texts):
    """A user's mistake: exit code 2, the texts on stderr, no traceback, and nothing on stdout."""
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    for text in texts:
        assert text in result.err


def document(result):
    """The one JSON document that stdout is."""
    assert result.err == ""

    def not_json(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(result.out, parse_constant=not_json)


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
def test_a_bad_table_is_refused_by_check_and_by_fit(command, write, text, tmp_path):
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
    "language": ((*OPTIMUM, "--language", "yo"), ["{saved} has no language 'yo'; choose one of: en, sw"]),
    "no language": (OPTIMUM, ["no language was named; choose one of: en, sw"]),
    "compute": (("optimum", "{saved}", "--language", "sw", "--compute", "-1e21"), ["compute is -1e+21; it must be a"]),
    "no compute": (("optimum", "{saved}"), ["Missing option '--compute'"]),
    "infinite compute": (("optimum", "{saved}", "--language", "sw", "--compute", "inf"), ["compute is inf"]),
    "text for compute": (("optimum", "{saved}", "--compute", "much"), ["'--compute'", "number"]),
    "unique": ((*OPTIMUM, "--language", "sw", "--unique", "0"), ["unique is 0.0; it must be a positive number"]),
    "probability": ((*OPTIMUM, "--language", "sw", "--probability", "2"), ["probability is 2.0; it must lie between"]),
    "suffix": (("simulate", "{new}.xlsx"), ["end its name in .csv, .parquet or .pq"]),
    "seed": (("simulate", "{new}.csv", "--seed", "-1"), ["the seed is -1; it must be a whole number"]),
    "place": (("simulate", "{new}/deep/runs.csv"), ["cannot write {new}/deep/runs.csv", "name another place"]),
    "option": (("check", "{table}", "--jason"), ["No such option: --jason"]),
    "argument": (("check",), ["Missing argument 'RUNS'"]),
    "command": (("divine", "{table}"), ["No such command 'divine'"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "texts"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message_that_names_the_rule(command, table, saved, tmp_path, arguments, texts):
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

    monkeypatch.setattr("bayes_atlas.runs.read_runs", interrupted)
    result = command("check", table)
    assert result.code == 130
    assert "Traceback" not in result.err


# check


def test_check_describes_a_table(command, table):
    result = command("check", table)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("runs.csv: 4 rows of 4 runs, 1 languages\n")
    assert "100M to 1B" in result.out
    assert re.search(r"\n alpha +(yes|weak|no) ", result.out)


def test_check_as_json(command, table):
    result = command("check", table, "--json")
    found = document(result)
    assert result.code == 0
    assert set(found) == {"name", "sources", "total", "by_language", "init", "labels", "identified"}
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


def test_list_as_json(command, saved, monkeypatch):
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: saved.parent)
    found = document(command("list", "--json"))
    assert found["posteriors"] == {"saved": {"title": "Made by hand", "languages": ["en", "sw"]}}
    assert list(found["models"]) == model_names()
    assert all(found["models"].values())


# simulate


def test_simulate_writes_runs_and_their_truth(command, tmp_path):
    found = document(command("simulate", tmp_path / "runs.csv", "--seed", "3", "--json"))
    assert found == {"runs": 774, "rows": found["rows"], "truth": str(tmp_path / "runs.truth.json")}
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + found["rows"]
    assert json.loads((tmp_path / "runs.truth.json").read_text())["seed"] == 3


# optimum


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


def test_optimum_as_json(command, saved):
    found = document(command("optimum", saved, "--language", "sw", "--compute", "1e21", "--unique", "1e12", "--json"))
    quantities = {"params", "tokens", "loss", "epochs", "tokens_per_param"}
    assert set(found) == {"posterior", "language", "compute", "unique", "notes"} | quantities
    assert (found["posterior"], found["language"], found["compute"]) == (str(saved), "sw", 1e21)
    for name in quantities:
        assert set(found[name]) == set(Summary.__annotations__)
        assert found[name]["lower"] <= found[name]["median"] <= found[name]["upper"]
        assert (found[name]["probability"], found[name]["kind"]) == (0.9, "eti")
    assert found["notes"] == []


def test_a_decision_from_a_posterior_that_failed_its_checks_says_so(command, failing):
    arguments = ("optimum", failing, "--language", "sw", "--compute", "1e21")
    result = command(*arguments)
    note = f"the sampling of {failing} failed the check r_hat_below_1_01 (nan, limit 1.01): wait"
    assert (result.code, result.err) == (0, "")
    assert f"Note: {note}.\n" in result.out
    assert document(command(*arguments, "--json"))["notes"] == [note]


# diagnose


def test_diagnose_passes(command, saved, staleness):
    staleness(False)
    result = command("diagnose", saved)
    assert (result.code, result.err) == (0, "")
    assert "Made by hand: 12 rows, 12 curves, 2 languages" in result.out
    assert re.search(r"\n r_hat_below_1_01 +pass +1\.002 +1\.01 +alpha\[sw\] ", result.out)
    assert "still gives the density" in result.out


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


@pytest.mark.parametrize("stale", [False, True])
def test_diagnose_as_json(command, failing, staleness, stale):
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


# Numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.34567, "0.3457"),
        (2.0, "2"),
        (999.94, "999.9"),
        (1234.5, "1,234"),
        (123_456.0, "123,456"),
        (7.7e8, "770M"),
        (8.45e9, "8.45B"),
        (1.4e12, "1.4T"),
        (-2e9, "-2B"),
    ],
)
def test_numbers_as_people_write_them(value, text):
    assert _number(value) == text
