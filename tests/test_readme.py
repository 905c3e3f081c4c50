"""The README's examples run as printed, on a small table of runs made here."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_atlas.laws import atlas

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with runs.csv: Swahili, five sizes at six amounts of data, some of it repeated; and more.csv like it."""
    rng = np.random.default_rng(0)
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 3e9, 5), np.geomspace(2e8, 8e9, 6)))
    law = {"E": 1.2, "A": 60.0, "B": 400.0, "alpha": 0.3, "beta": 0.3, "lam": 0.2}
    loss = atlas.loss(params, tokens, np.full(params.size, 7.7e8), **law) * np.exp(0.004 * rng.normal(size=params.size))
    table = pd.DataFrame({"language": "sw", "params": params, "tokens": tokens, "unique": 7.7e8, "loss": loss})
    target = tmp_path_factory.mktemp("readme")
    table.rename_axis("run").to_csv(target / "runs.csv")
    table.assign(loss=table["loss"] * 1.01).rename_axis("run").to_csv(target / "more.csv")
    (scenario,) = blocks("toml")
    (target / "scenario.toml").write_text(scenario)
    return target


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    finished = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    return finished.stdout


def test_the_commands_run_as_printed(folder):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("bayes-atlas ")]
    assert len(lines) >= 5
    for line in lines:
        assert run([sys.executable, "-m", "bayes_atlas", *shlex.split(line, comments=True)[1:]], folder)


def test_the_python_example_runs_as_printed(folder):
    program = "\n".join(blocks("python"))
    printed = run([sys.executable, "-c", program.replace('save("mine")', 'save("mine", force=True)')], folder)
    assert "median" in printed
