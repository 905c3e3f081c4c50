"""Curves that share a size effect, found again in another table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.data.outliers import NU, suspects, suspects_by_noise
from bayes_atlas.data.size_groups import SAME_SIZE, SizeGroups

LANGUAGES = np.array(["en", "en", "en", "sw"])


def test_a_model_size_is_shared_by_languages_whose_data_rank_alike():
    params, unique = np.array([1e9, 1e9, 2e9, 1e9]), np.array([1e9, 1e10, 1e9, 5e8])
    groups = SizeGroups.of(params, unique, LANGUAGES)
    np.testing.assert_array_equal(groups.find(params, unique, LANGUAGES), [0, 1, 2, 0])


def test_a_new_size_of_model_or_of_data_belongs_to_no_group():
    groups = SizeGroups.of(np.full(4, 1e9), np.full(4, 1e9), LANGUAGES)
    found = groups.find([1e9, 2e9, 1e9, 1e9], [1e9, 1e9, 2e9, np.inf], LANGUAGES)
    np.testing.assert_array_equal(found, [0, -1, -1, -1])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["en", "sw"])), min_size=1))
def test_every_curve_finds_its_own_group_and_all_groups_are_found(curves):
    steps, data, language = (np.array(column) for column in zip(*curves, strict=True))
    sizes = np.exp(steps * 2 * SAME_SIZE), np.exp(data * 2 * SAME_SIZE), language
    groups = SizeGroups.of(*sizes)
    found = groups.find(*sizes)
    assert sorted(set(found.tolist())) == list(range(groups.keys.shape[1]))
    order = np.random.default_rng(0).permutation(len(steps))
    np.testing.assert_array_equal(groups.find(*(each[order] for each in sizes)), found[order])


def test_runs_that_count_little_are_suspects_least_first():
    assert list(suspects(["a", "b", "c"], [0.2, 1.1, 0.05])) == ["c", "a"]


def test_noise_alone_makes_as_many_suspects_as_expected():
    rng, runs = np.random.default_rng(0), 200_000
    for rows in (1, 11):
        squares = (rng.standard_normal((runs, rows)) ** 2).sum(axis=1) / (rng.chisquare(NU, runs) / NU)
        weights = (NU + rows) / (NU + squares)
        expected = suspects_by_noise(np.full(runs, rows))
        assert len(suspects(np.arange(runs), weights)) == pytest.approx(expected, rel=0.05)
