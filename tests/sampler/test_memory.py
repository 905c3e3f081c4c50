"""What a run needs of memory, and that it is refused where there is less."""

import re

import jax
import numpy as np
import pytest

from bayes_atlas.errors import InputError
from bayes_atlas.sampler import memory
from bayes_atlas.sampler.driver import sample
from bayes_atlas.sampler.settings import Settings


def test_what_a_part_needs_is_at_least_what_goes_in_and_comes_out():
    values = np.zeros((100, 1000), np.float32)
    compiled = jax.jit(lambda x: (x + 1, x.sum())).lower(values).compile()
    assert memory.needed(compiled) >= 2 * values.nbytes


def test_devices_share_the_memory_of_a_cpu():
    device = jax.local_devices()[0]
    assert 2**30 < memory.capacity(device) * len(jax.local_devices()) < 2**50


class Accelerator:
    """A device that says what it has."""

    device_kind = "toy"

    def memory_stats(self):
        """As jax's devices have it."""
        return {"bytes_limit": 3 * 2**30, "bytes_in_use": 5}


def test_an_accelerator_says_what_it_has():
    assert memory.capacity(Accelerator()) == 3 * 2**30


def test_too_large_a_table_is_refused_with_both_sizes_before_anything_runs(regression, regression_data, monkeypatch):
    monkeypatch.setattr(memory, "capacity", lambda device: 2**10)
    settings = Settings(3, 150, 5000, seed=0, max_tree_depth=8)
    with pytest.raises(InputError) as refusal:
        sample(regression, regression_data, settings)
    said = re.fullmatch(
        r"the table with 3 chains would need about (\S+) GiB .*describe the draws.* has 9.5e-07 GiB.*",
        str(refusal.value),
    )
    # 5,000 draws of 3 chains: position, log likelihood and sites
    assert said and float(said[1]) > 3 * 5000 * 8 * 10 / 2**30


def test_a_shape_is_checked_once(regression, regression_data, monkeypatch):
    settings = Settings(1, 150, 50, seed=0, max_tree_depth=8)
    sample(regression, regression_data, settings)
    monkeypatch.setattr(memory, "capacity", lambda device: 0)
    sample(regression, regression_data, settings)


def _compiled_again(step):
    """Whether a call of `step` traces it anew."""
    before = step.traced
    step.function(np.ones(3))
    return step.traced > before


@pytest.fixture
def step():
    """A compiled function that counts how often it was traced."""

    class Step:
        traced = 0

        def __init__(self):
            self.function = jax.jit(self._trace)
            self.function(np.ones(3))

        def _trace(self, x):
            self.traced += 1
            return jax.numpy.sin(x) @ x

    return Step()


def test_far_from_the_limit_of_memory_maps_nothing_compiled_is_dropped(step):
    assert memory.memory_maps() < memory.FULL * memory.most_memory_maps()
    memory.make_room()
    assert not _compiled_again(step)


def test_near_the_limit_of_memory_maps_what_was_compiled_is_dropped(step, monkeypatch):
    before = memory.memory_maps()
    monkeypatch.setattr(memory, "most_memory_maps", lambda: before)
    memory.make_room()
    assert memory.memory_maps() < before
    assert _compiled_again(step)


def test_a_run_makes_room_before_it_compiles(step, regression, regression_data, monkeypatch):
    monkeypatch.setattr(memory, "most_memory_maps", lambda: 1)
    sample(regression, regression_data, Settings(1, 150, 50, seed=0, max_tree_depth=8))
    assert _compiled_again(step)
