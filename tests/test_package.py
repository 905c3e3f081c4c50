"""The wheel holds what the checkout holds, and takes decisions where no sampler is installed."""

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
LARGEST = 25e6  # bytes

# Stands for an environment without the sampler: whatever asks for it is refused.
WITHOUT_SAMPLER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"jax", "jaxlib", "numpyro"}:
            raise ModuleNotFoundError(f"No module named {name!r} (kept out by the test)", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(*arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run this Python with `arguments` in `cwd` and return what it printed."""
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    return finished.stdout


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def through_sdist(tmp_path_factory):
    """Folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("through_sdist")
    run("-m", "build", "--no-isolation", "--outdir", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--no-isolation", "--wheel", "--outdir", folder)
    return only(folder, "*.whl")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder into which the wheel is installed without any of its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.mark.parametrize("kind", ["models", "posteriors"])
def test_the_wheel_holds_what_ships(wheel, kind):
    prefix = f"bayes_atlas/_shipped/{kind}/"
    files = [path for path in (ROOT / kind).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {prefix + path.relative_to(ROOT / kind).as_posix(): path.read_bytes() for path in files}
    shipped = {name: data for name, data in contents(wheel).items() if name.startswith(prefix)}
    assert shipped.keys() == expected.keys()
    assert shipped == expected


def test_each_posterior_ships_with_its_draws(wheel):
    names = contents(wheel).keys()
    posteriors = {name.rpartition("/")[0] for name in names if name.endswith("/info.json")}
    assert posteriors
    assert {f"{posterior}/draws.nc" for posterior in posteriors} <= names


def test_the_wheel_says_that_it_is_typed_and_holds_the_printed_tables(wheel):
    assert {"bayes_atlas/py.typed", "bayes_atlas/data/printed/languages.csv"} <= contents(wheel).keys()


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size < LARGEST


def test_the_sdist_gives_the_same_wheel(wheel, through_sdist):
    assert contents(only(through_sdist, "*.whl")) == contents(wheel)


def test_the_installed_wheel_decides_without_a_sampler(installed, tmp_path):
    program = (
        f"{WITHOUT_SAMPLER}\nsys.path.insert(0, {str(installed)!r})\n"
        f"import bayes_atlas\nassert bayes_atlas.__file__.startswith({str(installed)!r})\n"
        "from bayes_atlas.cli import main\nmain()\n"
    )
    printed = run("-c", program, "optimum", "chinchilla-2022", "--compute", "1e22", "--json", cwd=tmp_path)
    decision = json.loads(printed)
    for quantity in ("params", "tokens", "loss"):
        summary = decision[quantity]
        assert 0 < summary["lower"] < summary["median"] < summary["upper"]


def test_the_installed_command_lists_what_ships(installed, tmp_path):
    program = f"{WITHOUT_SAMPLER}\nsys.path.insert(0, {str(installed)!r})\nfrom bayes_atlas.cli import main\nmain()\n"
    printed = run("-c", program, "list", cwd=tmp_path)
    for name in [path.stem for path in (ROOT / "models").glob("*.py")]:
        assert name in printed
