"""What a decision from a stored posterior loads: nothing of the sampler, whose import alone takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLER = {"jax", "jaxlib", "numpyro", "arviz"}


def top_level_modules(*arguments: str) -> set[str]:
    """Top-level names of all modules that ``python *arguments`` imports, as its own -X importtime reports them."""
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    reported = [line for line in finished.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in reported}


def test_the_report_of_imports_is_read_aright():
    assert "jax" in top_level_modules("-c", "import jax.numpy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import bayes_atlas"],
        ["-m", "bayes_atlas", "--help"],
        ["-m", "bayes_atlas", "list"],
        ["-m", "bayes_atlas", "optimum", "chinchilla-2022", "--compute", "1e22"],
        ["-m", "bayes_atlas", "expand", "capacity-simulated", "--factor", "4"],
        ["-m", "bayes_atlas", "transfer", "transfer-atlas", "--target", "sw"],
        ["-c", "import bayes_atlas.data.bilingual_design, bayes_atlas.decisions.transfer_scores"],
        ["-m", "bayes_atlas", "trajectory", "datablations-2023", "--from", "1e19", "--to", "1e22", "--unique", "1e9"],
    ],
    ids=" ".join,
)
def test_no_sampler_is_loaded(arguments):
    loaded = top_level_modules(*arguments)
    assert "bayes_atlas" in loaded
    assert not loaded & SAMPLER


def test_nothing_is_drawn_unless_asked():
    loaded = top_level_modules("-m", "bayes_atlas", "optimum", "chinchilla-2022", "--compute", "1e22")
    assert not loaded & {"matplotlib", "PIL"}
