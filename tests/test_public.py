"""The public names: each can be loaded, is documented, and is public where it lives."""

import importlib.metadata

import pytest

import bayes_atlas

NAMES = sorted(dir(bayes_atlas))


def test_the_public_names_are_those_of_the_door():
    assert sorted(vars(bayes_atlas)["__all__"]) == NAMES
    assert not [name for name in NAMES if name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_documented_and_lives_in_the_package(name):
    member = getattr(bayes_atlas, name)
    assert member.__module__.startswith("bayes_atlas.")
    assert member.__name__ == name
    assert member.__doc__


def test_the_version_is_that_of_the_distribution():
    assert bayes_atlas.__version__ == importlib.metadata.version("bayes-atlas")


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = bayes_atlas.no_such_name
