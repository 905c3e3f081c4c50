"""The examples of the README and of docs/ run as printed, on small tables of runs made here.

Every fenced block is one of these:

* ``sh``: its lines that begin with ``bayes-atlas`` run, each once however many pages show it;
* ``text`` after it: what the last of these lines prints in a terminal of 80 columns;
* ``toml``: a scenario, under the file name of its first line, which a command of the page answers;
* ``python``: the blocks of a page together are one program;
* ``csv``: a run table.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

from bayes_atlas.cli import app
from bayes_atlas.data.runs import read_runs
from bayes_atlas.laws import atlas

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
OTHERS = ("CONTRIBUTING.md", "CHANGELOG.md", "posteriors/README.md", "benchmarks/README.md")
PROSE = PAGES | {name: ROOT / name for name in OTHERS}
FIT = "bayes-atlas fit runs.csv --model atlas -o mine"  # the posterior from which the pages decide

type Run = Callable[[str], str]


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines that run."""
        return [line for line in self.text.splitlines() if line.startswith("bayes-atlas ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with runs.csv: Swahili, five sizes at six amounts of data, some of it repeated; and more.csv like it."""
    rng = np.random.default_rng(0)
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 3e9, 5), np.geomspace(2e8, 8e9, 6)))
    law = {"E": 1.2, "A": 60.0, "B": 400.0, "alpha": 0.3, "beta": 0.3, "lam": 0.2}
    loss = atlas.loss(params, tokens, np.full(params.size, 7.7e8), **law) * np.exp(0.004 * rng.normal(size=params.size))
    table = pd.DataFrame({"language": "sw", "params": params, "tokens": tokens, "unique": 7.7e8, "loss": loss})
    target = tmp_path_factory.mktemp("readme")
    table.rename_axis("run").to_csv(target / "runs.csv")
    table.assign(loss=table["loss"] * 1.01).rename_axis("run").to_csv(target / "more.csv")
    return target


@pytest.fixture(scope="module")
def run(folder) -> Run:
    """Run a line of a page in the folder, where the posterior is that the pages decide from; gives what it prints."""

    @cache
    def once(line: str) -> str:
        return printed(["-m", "bayes_atlas", *shlex.split(line, comments=True)[1:]], folder)

    once(FIT)
    return once


def printed(arguments: list[str], folder: Path) -> str:
    """What this Python prints with these arguments."""
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    return finished.stdout


def blocks(page: str) -> list[Block]:
    found = re.findall(
        r"^```(\w*)\n(.*?)^```$", PAGES[page].read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return [Block(*each) for each in found]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_run_as_printed(page, folder, run):
    shown = ""
    for block in blocks(page):
        match block.language:
            case "sh":
                for line in block.commands:
                    shown = run(line)
                others = [line for line in block.text.splitlines() if line not in block.commands]
                assert all(line.split()[0] in ("make", "source") for line in others)
            case "text":
                assert tidied(block.text) == tidied(shown)
            case "toml":
                name = block.text.splitlines()[0].removeprefix("# ")
                (folder / name).write_text(block.text, encoding="utf-8")
                assert any(name in line for each in blocks(page) for line in each.commands)
            case "csv":
                (folder / "example.csv").write_text(block.text, encoding="utf-8")
                read_runs(folder / "example.csv")
            case other:
                assert other == "python"  # see below


def tidied(text: str) -> list[str]:
    """The lines of a terminal, without the blanks that fill them."""
    return [line.rstrip() for line in text.strip("\n ").splitlines()]


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in PAGES[page].read_text(encoding="utf-8")])
def test_the_python_examples_run_as_printed(page, folder, run):
    program = "\n".join(block.text for block in blocks(page) if block.language == "python")
    shown = printed(["-c", program], folder)
    assert "median" in shown or (shown and "summary" not in program)


def test_what_is_advised_exists():
    commands = get_command(app).commands
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (*PROSE.values(), *(ROOT / "bayes_atlas").rglob("*.py"))
    )
    assert {*re.findall(r"`bayes-atlas (\w+)", text)} <= {*commands}
    options = {
        name for each in commands.values() for option in each.params for name in (*option.opts, *option.secondary_opts)
    }
    pages = "\n".join(path.read_text(encoding="utf-8") for path in PAGES.values())
    assert {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", pages)} <= options | {"--help"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}:" in makefile for target in re.findall(r"^make (\w+)", pages, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PROSE)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", PROSE[page].read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (PROSE[page].parent / link).exists()] == []
