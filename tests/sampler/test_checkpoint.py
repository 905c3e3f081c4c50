"""What a run leaves on disk, and going on from it."""

import json

import numpy as np
import pytest

from bayes_atlas.errors import InputError
from bayes_atlas.sampler.checkpoint import Checkpoint, digest
from bayes_atlas.sampler.driver import sample
from bayes_atlas.sampler.settings import BLOCK, Settings

RUN = {"run table": "a", "seed": "1"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "unfinished"


def test_arrays_come_back_as_they_were_saved(folder):
    checkpoint = Checkpoint(folder, RUN, resume=False)
    arrays = {"z": np.arange(6.0).reshape(2, 3), "flag": np.array([True]), "key": np.array([7, 8], np.uint32)}
    checkpoint.save("block1", arrays)
    checkpoint.save("block1", arrays | {"flag": np.array([False])})
    loaded = Checkpoint(folder, RUN, resume=True).load("block1")
    assert set(loaded) == set(arrays)
    assert not loaded["flag"].any()
    for name in ("z", "key"):
        np.testing.assert_array_equal(loaded[name], arrays[name])
        assert loaded[name].dtype == arrays[name].dtype
    assert checkpoint.load("block2") is None
    checkpoint.remove()
    assert not folder.exists()


def test_what_cannot_be_stored_as_plain_numbers_is_refused(folder):
    checkpoint = Checkpoint(folder, RUN, resume=False)
    checkpoint.save("state", {"a": np.ones(1)})
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        checkpoint.save("state", {"a": np.array([object()])})
    np.testing.assert_array_equal(checkpoint.load("state")["a"], 1)  # what was there before


def test_a_new_run_removes_what_an_old_one_left(folder):
    Checkpoint(folder, RUN, resume=False).save("block1", {"a": np.ones(1)})
    assert Checkpoint(folder, RUN, resume=False).load("block1") is None

    assert json.loads((folder / "identity.json").read_text(encoding="utf-8")) == RUN


def test_only_the_run_that_was_begun_is_resumed(folder):
    with pytest.raises(InputError, match=r"there is no run to resume in .*unfinished; leave out --resume"):
        Checkpoint(folder, RUN, resume=True)
    assert not folder.exists()
    Checkpoint(folder, RUN, resume=False)
    with pytest.raises(
        InputError, match=r"the run in .*unfinished has a different seed; repeat the command that began it"
    ):
        Checkpoint(folder, RUN | {"seed": "2"}, resume=True)
    with pytest.raises(InputError, match="has a different run table, seed;"):
        Checkpoint(folder, {"run table": "b", "seed": "2"}, resume=True)


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


@pytest.mark.parametrize("done", [BLOCK, 150, 200, 250, 300, 350, 500])
def test_a_run_that_was_killed_goes_on_to_the_draws_it_would_have_given(
    regression, regression_data, whole, folder, done
):
    with pytest.raises(Killed, match=r"^$"):
        sample(regression, regression_data, SETTINGS, kill_at(done), Checkpoint(folder, RUN, resume=False))
    reports = []
    again = sample(regression, regression_data, SETTINGS, reports.append, Checkpoint(folder, RUN, resume=True))
    assert [report.done for report in reports] == list(range(done, 501, BLOCK))  # all but what was saved
    for name, values in whole.sites.items():
        np.testing.assert_array_equal(again.sites[name], values)
    for name, values in whole.stats.items():
        np.testing.assert_array_equal(again.stats[name], values)
    np.testing.assert_array_equal(again.log_likelihood, whole.log_likelihood)


def test_a_run_may_be_killed_more_than_once(regression, regression_data, whole, folder):
    for number, done in enumerate((100, 250, 450)):
        with pytest.raises(Killed, match=r"^$"):
            sample(regression, regression_data, SETTINGS, kill_at(done), Checkpoint(folder, RUN, resume=number > 0))
    again = sample(regression, regression_data, SETTINGS, checkpoint=Checkpoint(folder, RUN, resume=True))
    np.testing.assert_array_equal(again.sites["total"], whole.sites["total"])


def test_an_interrupted_run_goes_on_to_all_draws(regression, regression_data, whole, folder):
    def stop(progress):
        if progress.done == 400:
            raise KeyboardInterrupt

    some = sample(regression, regression_data, SETTINGS, stop, Checkpoint(folder, RUN, resume=False))
    assert some.interrupted
    again = sample(regression, regression_data, SETTINGS, checkpoint=Checkpoint(folder, RUN, resume=True))
    assert not again.interrupted
    np.testing.assert_array_equal(again.sites["total"], whole.sites["total"])
