"""What a run leaves on disk, and going on from it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bayes_atlas.errors import InputError
from bayes_atlas.sampler.checkpoint import Checkpoint, digest, remove
from bayes_atlas.sampler.driver import sample
from bayes_atlas.sampler.settings import BLOCK, Settings

RUN = {"run table": "a", "seed": "1"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "unfinished"


ARRAYS = {"z": np.arange(6.0).reshape(2, 3), "flag": np.array([True]), "key": np.array([7, 8], np.uint32)}


@pytest.fixture
def begun(folder):
    """A run with three blocks."""
    with Checkpoint(folder, RUN, resume=False) as checkpoint:
        for number in (1, 2, 3):
            checkpoint.save(f"block{number}", {"a": np.full(100, float(number))})
    return folder


def resumed(folder, run=RUN):
    with Checkpoint(folder, run, resume=True) as checkpoint:
        return checkpoint.blocks("block", 3)


def test_arrays_come_back_as_they_were_saved(folder):
    with Checkpoint(folder, RUN, resume=False) as checkpoint:
        checkpoint.save("block1", ARRAYS)
        checkpoint.save("block1", ARRAYS | {"flag": np.array([False])})
    with Checkpoint(folder, RUN, resume=True) as checkpoint:
        loaded = checkpoint.load("block1")
        assert checkpoint.load("block2") is None
    assert set(loaded) == set(ARRAYS)
    assert not loaded["flag"].any()
    for name in ("z", "key"):
        np.testing.assert_array_equal(loaded[name], ARRAYS[name])
        assert loaded[name].dtype == ARRAYS[name].dtype
    remove(folder)
    assert not folder.exists()
    remove(folder)  # nothing to do


def test_what_cannot_be_stored_as_plain_numbers_is_refused(folder):
    with Checkpoint(folder, RUN, resume=False) as checkpoint:
        checkpoint.save("state", {"a": np.ones(1)})
        with pytest.raises((ValueError, TypeError)):
            checkpoint.save("state", {"a": np.array([object()])})
        np.testing.assert_array_equal(checkpoint.load("state")["a"], 1)  # what was there before


def test_a_new_run_removes_what_an_old_one_left(begun):
    (begun / "deeper").mkdir()
    with Checkpoint(begun, RUN, resume=False) as checkpoint:
        assert checkpoint.load("block1") is None
    assert json.loads((begun / "identity.json").read_text(encoding="utf-8")) == RUN
    assert sorted(path.name for path in begun.iterdir()) == ["identity.json", "lock"]


def test_only_the_run_that_was_begun_is_resumed(folder):
    with pytest.raises(InputError, match=r"there is no run to resume in .*unfinished; leave out --resume"):
        Checkpoint(folder, RUN, resume=True)
    assert not folder.exists()
    Checkpoint(folder, RUN, resume=False).close()
    with pytest.raises(
        InputError, match=r"the run in .*unfinished has a different seed; repeat the command that began it"
    ):
        Checkpoint(folder, RUN | {"seed": "2"}, resume=True)
    with pytest.raises(InputError, match="has a different run table, seed;"):
        Checkpoint(folder, {"run table": "b", "seed": "2"}, resume=True)


def truncated(folder):
    path = folder / "block2.npz"
    path.write_bytes(path.read_bytes()[:200])


def exchanged(folder):
    one, two = folder / "block1.npz", folder / "block2.npz"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def foreign(folder):
    with Checkpoint(folder.with_name("other"), RUN | {"seed": "2"}, resume=False) as other:
        other.save("block2", {"a": np.full(100, 2.0)})
    shutil.copy(folder.with_name("other") / "block2.npz", folder / "block2.npz")


def plain(folder):
    np.savez(folder / "block2.npz", a=np.full(100, 2.0))


DAMAGE = {
    "missing": (lambda folder: (folder / "block2.npz").unlink(), r"block2\.npz of the run to resume is missing"),
    "empty": (lambda folder: (folder / "block2.npz").write_bytes(b""), r"block2\.npz of the run to resume cannot be"),
    "truncated": (truncated, r"block2\.npz of the run to resume cannot be read"),
    "text": (lambda folder: (folder / "block2.npz").write_text("text"), r"block2\.npz of the run to resume cannot be"),
    "exchanged": (exchanged, r"block1\.npz of the run to resume was damaged or exchanged: its hash differs"),
    "of another run": (foreign, r"block2\.npz of the run to resume was damaged or exchanged: its hash differs"),
    "without a hash": (plain, r"block2\.npz of the run to resume was damaged or exchanged: its hash differs"),
    "identity is no JSON": (
        lambda folder: (folder / "identity.json").write_text("{"),
        r"identity\.json of the run to resume cannot be read",
    ),
    "identity is a list": (
        lambda folder: (folder / "identity.json").write_text("[]"),
        r"identity\.json of the run to resume cannot be read",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_told_and_never_sampled_on_from(begun, damage, message):
    assert [block["a"][0] for block in resumed(begun)] == [1, 2, 3]
    damage(begun)
    with pytest.raises(InputError, match=f"{message}.*; leave out --resume to sample from the start"):
        resumed(begun)


HOLD = """
import sys, time
from pathlib import Path
from bayes_atlas.sampler.checkpoint import Checkpoint
checkpoint = Checkpoint(Path(sys.argv[1]), {"run table": "a", "seed": "1"}, resume=True)
print("held", flush=True)
time.sleep(60)
"""


def test_a_checkpoint_belongs_to_one_process_at_a_time(begun):
    with subprocess.Popen([sys.executable, "-c", HOLD, begun], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        for resume in (False, True):
            with pytest.raises(
                InputError, match=rf"another fit \(process {other.pid}\) keeps its progress in .*; wait"
            ):
                Checkpoint(begun, RUN, resume=resume)
        with pytest.raises(InputError, match="another fit"):
            remove(begun)
        other.kill()
    assert len(resumed(begun)) == 3  # the first is untouched, and a dead process holds no lock


def test_digests_tell_values_shapes_and_types_apart():
    arrays = [np.arange(4.0)], [np.arange(4.0).reshape(2, 2)], [np.arange(4)], [np.arange(4.0) + 1e-12], []
    assert len({digest(list(each)) for each in arrays}) == len(arrays)
    assert digest([np.arange(8.0)[::2]]) == digest([np.arange(0.0, 8.0, 2.0)])


# Going on


class Killed(BaseException):
    """Ends a run as nothing else would, between two blocks."""


SETTINGS = Settings(chains=2, warmup=300, draws=200, seed=4)


@pytest.fixture(scope="module")
def whole(regression, regression_data):
    return sample(regression, regression_data, SETTINGS)


def kill_at(done):
    def report(progress):
        if progress.done == done:
            raise Killed

    return report


def run(regression, data, folder, report=lambda progress: None, *, resume):
    with Checkpoint(folder, RUN, resume=resume) as checkpoint:
        return sample(regression, data, SETTINGS, report, checkpoint)


@pytest.mark.parametrize("done", [BLOCK, 150, 200, 250, 300, 350, 500])
def test_a_run_that_was_killed_goes_on_to_the_draws_it_would_have_given(
    regression, regression_data, whole, folder, done
):
    with pytest.raises(Killed, match=r"^$"):
        run(regression, regression_data, folder, kill_at(done), resume=False)
    reports = []
    again = run(regression, regression_data, folder, reports.append, resume=True)
    assert [report.done for report in reports] == list(range(done, 501, BLOCK))  # all but what was saved
    for name, values in whole.sites.items():
        np.testing.assert_array_equal(again.sites[name], values)
    for name, values in whole.stats.items():
        np.testing.assert_array_equal(again.stats[name], values)
    np.testing.assert_array_equal(again.log_likelihood, whole.log_likelihood)


def test_a_run_may_be_killed_more_than_once_and_be_read_again_when_it_has_ended(
    regression, regression_data, whole, folder
):
    for number, done in enumerate((100, 250, 450)):
        with pytest.raises(Killed, match=r"^$"):
            run(regression, regression_data, folder, kill_at(done), resume=number > 0)
    for _ in range(2):
        again = run(regression, regression_data, folder, resume=True)
        np.testing.assert_array_equal(again.sites["total"], whole.sites["total"])


def test_an_interrupted_run_goes_on_to_all_draws(regression, regression_data, whole, folder):
    def stop(progress):
        if progress.done == 400:
            raise KeyboardInterrupt

    some = run(regression, regression_data, folder, stop, resume=False)
    assert some.interrupted
    again = run(regression, regression_data, folder, resume=True)
    assert not again.interrupted
    np.testing.assert_array_equal(again.sites["total"], whole.sites["total"])
