"""Causes of failed checks, on draws made up to show each."""

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.folder.info import Check
from bayes_atlas.inference.causes import explained

CHAINS, DRAWS = 4, 300
MANY = {"en": 20, "sw": 20, "yo": 20, "hi": 20}


def draws_of(change=lambda values: values, language="sw"):
    """Well mixed draws of alpha by language and of its population, those of one language changed."""
    rng = np.random.default_rng(0)
    alpha = np.exp(0.1 * rng.normal(size=(CHAINS, DRAWS, len(MANY))))
    at = list(MANY).index(language)
    alpha[..., at] = change(alpha[..., at])
    dims = ("chain", "draw")
    scale = (dims, np.exp(rng.normal(size=(CHAINS, DRAWS))))
    variables = {"alpha": ((*dims, "language"), alpha), "alpha_scale": scale}
    return xr.Dataset(variables, {"language": list(MANY)})


def advice(posterior, where, curves=MANY, passed=False):
    check = Check(name="r_hat_below_1_01", passed=passed, value=1.5, limit=1.01, where=where, advice="sample longer")
    (found,) = explained([check], posterior, curves)
    assert (found.name, found.value, found.where) == (check.name, check.value, where)
    return found.advice


def test_chains_that_stay_in_two_places_are_two_explanations():
    def two(values):
        return values + np.array([0.0, 1.0, 0.0, 1.0])[:, None]

    said = advice(draws_of(two), "alpha[sw]")
    assert "two explanations" in said
    assert "alpha[sw] is near 0.998 in chain 0, 2, near 2 in chain 1, 3" in said


def test_a_wandering_chain_is_no_mode():
    assert advice(draws_of(lambda values: values + np.linspace(0, 1, DRAWS)), "alpha[sw]") == "sample longer"


@pytest.mark.parametrize("where", ["alpha[sw]", "alpha_scale, alpha[sw], alpha[en]"])
def test_a_language_with_few_runs_is_named(where):
    said = advice(draws_of(), where, MANY | {"sw": 2})
    assert said.startswith("sw has 2 runs, too few to show alpha[sw]")


def test_many_languages_with_few_runs_are_counted():
    said = advice(draws_of(), "alpha_scale", MANY | {"sw": 2, "yo": 3, "hi": 1})
    assert "3 of 4 languages have 3 runs or fewer (such as sw), too few to show alpha_scale" in said


def test_two_languages_do_not_show_how_languages_differ():
    assert "2 languages are too few to show alpha_scale" in advice(draws_of(), "alpha_scale", {"en": 20, "sw": 20})


@pytest.mark.parametrize(("bound", "change"), [("0", lambda v: (v / 4) ** 20), ("1", lambda v: 1 - (v / 4) ** 20)])
def test_a_parameter_at_its_bound_is_named(bound, change):
    said = advice(draws_of(change), "alpha[sw]")
    assert f"the runs allow alpha[sw] to be {bound}, its bound" in said


@pytest.mark.parametrize("where", ["alpha[en]", "chain 2", "", "alpha_scale"])
def test_without_a_cause_the_advice_stays(where):
    assert advice(draws_of(), where) == "sample longer"


def test_a_check_that_passes_stays():
    assert advice(draws_of(), "alpha[sw]", MANY | {"sw": 2}, passed=True) == "sample longer"


def test_draws_that_never_change_have_no_cause():
    assert advice(draws_of(lambda values: np.ones_like(values)), "alpha[sw]") == "sample longer"
