"""Terminals and pipes: names that are escape sequences, no width, a closed or full pipe, ASCII, foreign settings."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bayes_atlas.data.text import printable
from bayes_atlas.plots.figure import new_axes, save

LIST = (sys.executable, "-m", "bayes_atlas", "list")


def listed(stdout=subprocess.PIPE, **environment):
    return subprocess.run(LIST, env=os.environ | environment, stdout=stdout, stderr=subprocess.PIPE, check=False)


def test_no_escape_sequence_of_a_name_reaches_the_terminal(command, refused, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,language,params,tokens,loss\na,\x1b[2J\x1b]0;pwn\x07,1e8,1e9,3.1\n")
    result = command("check", path)
    refused(result, r"row 1 (line 2): \x1b[2J\x1b]0;pwn\x07")
    assert "\x1b" not in result.err


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_width_gets_tables(columns):
    assert b"chinchilla-2022" in listed(COLUMNS=columns).stdout


def test_a_full_disk_is_one_message():
    with open("/dev/full", "w") as full:
        result = listed(full)
    assert result.returncode == 2
    assert result.stderr.startswith(b"bayes-atlas: cannot write the output: No space left on device")
    assert result.stderr.count(b"\n") == 1


def test_a_closed_pipe_ends_in_silence():
    reader, writer = os.pipe()
    os.close(reader)
    result = listed(writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


def test_an_ascii_locale_escapes_what_it_cannot_print():
    result = listed(PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (result.returncode, result.stderr) == (0, b"")
    result.stdout.decode("ascii")


def test_settings_of_matplotlib_do_not_reach_the_command(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: nonsense\n")
    asked = ["optimum", "chinchilla-2022", "--compute", "1e21", "--plot", tmp_path / "figure.svg"]
    settings = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    result = subprocess.run([*LIST[:3], *asked], env=os.environ | settings, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["$x^$", "$\\frac{", "<b>&amp;", "\x1b[2J", "-->"])
def test_a_name_is_plain_text_in_a_figure(name, tmp_path):
    (axes,) = new_axes()
    axes.set_title(name)
    axes.set_xticks([0, 1], labels=[name, "en"])
    axes.plot([0, 1], [0, 1], label=name)
    axes.legend()
    save(axes, tmp_path / "figure.svg")
    ElementTree.parse(tmp_path / "figure.svg")
    assert axes.get_title() == printable(name)


@pytest.mark.parametrize(
    "asked",
    [
        ("tax", "atlas-simulated", "--language", "fr", "--compute", "1e20"),
        ("crossover", "crossover-atlas", "--language", "de", "--params", "2e9"),
        ("transfer", "transfer-atlas", "--target", "sw"),
    ],
)
def test_a_refused_answer_prints_nothing_of_it(asked, command, refused):
    refused(command(*asked, "--probability", "1.5"), "probability is 1.5; it must lie between 0 and 1")
