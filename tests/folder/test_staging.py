"""Replacing a folder, and what dead processes left of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bayes_atlas.folder.staging import _host, staging, sweep

# Replaces a folder, and is killed by SIGKILL at a moment: while it writes, before or between the two renames.
KILLED = """
import os, signal, sys
from pathlib import Path
from bayes_atlas.folder.staging import staging
target, moment = Path(sys.argv[1]), sys.argv[2]
real, calls = os.rename, []
def rename(*ends):
    if moment == f"rename {len(calls)}":
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(ends)
    real(*ends)
os.rename = rename
with staging(target) as new:
    (new / "a").write_text("new")
    if moment == "writing":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["old", "none"])
def target(request, tmp_path):
    """A folder, or the place for one."""
    if request.param == "old":
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "a").write_text("old")
    return tmp_path / "target"


def test_a_folder_takes_the_place_of_another(target):
    with staging(target) as new:
        (new / "a").write_text("new")
    assert (target / "a").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_an_error_leaves_no_trace(target):
    before = sorted(path.relative_to(target.parent) for path in target.parent.rglob("*"))
    with pytest.raises(OSError, match="full"), staging(target):
        raise OSError("full")
    assert sorted(path.relative_to(target.parent) for path in target.parent.rglob("*")) == before


@pytest.mark.parametrize("moment", ["writing", "rename 0", "rename 1"])
def test_a_complete_folder_of_a_dead_process_takes_its_place(target, moment):
    was = (target / "a").read_text() if target.exists() else "none"
    subprocess.run([sys.executable, "-c", KILLED, target, moment], check=False)
    sweep(target)
    found = (target / "a").read_text() if target.exists() else "none"
    complete = moment == "rename 1" or (moment == "rename 0" and was == "none")
    assert found == ("new" if complete else was)
    assert [path.name for path in target.parent.iterdir()] == ["target"] * target.exists()


def test_folders_of_processes_that_live_and_of_other_machines_are_left_alone(tmp_path):
    names = [f".target.{_host()}.{os.getpid()}.ab", ".target.elsewhere.1.ab", ".target.txt", f".other.{_host()}.1.ab"]
    for name in names:
        (tmp_path / name).mkdir()
    sweep(tmp_path / "target")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    sweep(Path("/no/such/folder"))
