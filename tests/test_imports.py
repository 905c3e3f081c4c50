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


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["list"], {"numpy", "h5py", "scipy", "pandas", "xarray"}),
        (["optimum", "chinchilla-2022", "--compute", "1e22"], {"pandas", "xarray"}),
        (["trajectory", "chinchilla-2022", "--from", "1e20", "--to", "1e22"], {"pandas", "xarray"}),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_command_loads_what_it_needs(arguments, unneeded):
    assert not top_level_modules("-m", "bayes_atlas", *arguments) & unneeded


# Whatever asks for a socket of Python's raises. What libraries in C do, `strace -e trace=network` shows.
OFFLINE = """
import sys

def hook(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(hook)
from bayes_atlas.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["check", "fit", "optimum", "diagnose", "list"])
def test_nothing_asks_for_the_network(command, tmp_path):
    rows = [f"r{n},en,{1e8 * 2**n},{1e9 * 3 ** (n % 3)},{3 - 0.1 * n}" for n in range(6)]
    (tmp_path / "runs.csv").write_text("\n".join(["run,language,params,tokens,loss", *rows, ""]))
    more = {
        "check": ["runs.csv"],
        "fit": ["runs.csv", "--model", "chinchilla", "--chains", "1", "--warmup", "150", "--draws", "50"],
        "optimum": ["chinchilla-2022", "--compute", "1e22", "--plot", "optimum.svg"],
        "diagnose": ["chinchilla-2022"],
        "list": [],
    }
    arguments = [sys.executable, "-c", OFFLINE, command, *more[command]]
    finished = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert finished.returncode in (0, 1), finished.stderr[-2000:]
    assert "Traceback" not in finished.stderr, finished.stderr[-2000:]
