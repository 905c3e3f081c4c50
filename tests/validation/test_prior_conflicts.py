"""Parameters at odds with their priors are named, and others are not."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.posterior import load_posterior
from bayes_atlas.validation.prior_conflicts import FAR, prior_check, prior_conflicts

RNG = np.random.default_rng(0)
PRIORS = {
    "shift": RNG.normal(0.0, 0.5, 4000),
    "scale": np.exp(RNG.normal(-3.0, 0.7, 4000)),
    "memory": RNG.beta(2, 2, 4000),
}


def compared(like, **sites):
    """The conflicts of a posterior with these draws and priors."""
    groups = {
        name: xr.Dataset({site: (("chain", "draw"), values[None]) for site, values in each.items()})
        for name, each in (("posterior", sites), ("prior", PRIORS))
    }
    return prior_conflicts(replace(like, draws=xr.DataTree.from_dict(groups)))


def test_draws_like_the_prior_are_no_conflict(tiny_posterior):
    drawn = {"shift": RNG.normal(0.3, 0.1, 500), "scale": np.exp(RNG.normal(-3.5, 0.1, 500))}
    assert compared(tiny_posterior, **drawn, memory=RNG.beta(20, 5, 500)) == []


@pytest.mark.parametrize("away", [-1, 1])
def test_what_is_far_out_is_named_with_its_distance(tiny_posterior, away):
    (shift,) = compared(tiny_posterior, shift=RNG.normal(1.35 * away, 0.01, 500))
    assert shift.parameter == "shift"
    assert shift.deviations == pytest.approx(2.7 * away, rel=0.1)
    (scale,) = compared(tiny_posterior, scale=np.exp(RNG.normal(-3 + 2.1 * away, 0.01, 500)))
    assert scale.deviations == pytest.approx(3 * away, rel=0.1)
    assert not scale.at_end
    assert "scale is 3.0 deviations out" in scale.remark.replace("2.9", "3.0").replace("3.1", "3.0")


def test_an_end_of_the_range_is_named_first(tiny_posterior):
    found = compared(tiny_posterior, shift=np.full(500, 4.0), memory=RNG.uniform(0.995, 1.0, 500))
    assert [each.parameter for each in found] == ["memory", "shift"]
    assert [each.at_end for each in found] == [True, False]
    assert "memory sits at an end of its range (0.995 to 1" in found[0].remark


def test_the_check_fails_where_chance_does_not_explain_the_worst(tiny_posterior):
    """Of three parameters the worst is beyond 2.39 deviations with probability .05."""

    def checked(**sites):
        groups = {name: xr.Dataset({site: (("chain", "draw"), v[None]) for site, v in each.items()}) for name, each in
                  (("posterior", sites), ("prior", PRIORS))}  # fmt: skip
        return prior_check(replace(tiny_posterior, draws=xr.DataTree.from_dict(groups)))

    inside = {"scale": np.exp(RNG.normal(-3.0, 0.1, 500)), "memory": RNG.beta(20, 20, 500)}
    near, far = (checked(shift=RNG.normal(0.5 * away, 0.01, 500), **inside) for away in (2.1, 2.7))
    assert (near.passed, far.passed) == (True, False)
    assert (far.name, far.where) == ("parameters_within_priors", "shift")
    assert far.limit == pytest.approx(2.394, abs=1e-3)
    at_end = checked(**inside | {"memory": RNG.uniform(0.995, 1.0, 500)})
    assert (at_end.passed, at_end.where) == (False, "memory")
    assert prior_check(tiny_posterior) is None


def test_parameters_of_single_languages_are_not_compared(tiny_posterior):
    assert prior_conflicts(tiny_posterior) == []


def test_a_shipped_posterior_names_what_its_text_says():
    """Exponents of datablations are less tied than their prior has it."""
    found = {each.parameter: each for each in prior_conflicts(load_posterior("datablations-2023"))}
    assert found["log_exponent_ratio"].deviations < -FAR
    assert set(found) == {"log_exponent_ratio", "kappa_epochs"}
