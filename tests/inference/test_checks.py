"""The named checks of a sampling: good draws pass all of them, and each can fail alone and says where."""

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.inference.checks import ADVICE, named_checks

CHAINS, DRAWS, LIMIT = 4, 500, 10
LANGUAGES = ["en", "sw"]


def well_mixed() -> xr.DataTree:
    """Independent draws: a scalar parameter, one by language, and statistics of an untroubled sampler."""
    rng = np.random.default_rng(0)
    dims, shape = ("chain", "draw"), (CHAINS, DRAWS)
    coords = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
    posterior = xr.Dataset(
        {
            "alpha_scale": (dims, np.exp(rng.normal(size=shape))),
            "alpha": ((*dims, "language"), rng.normal(size=(*shape, len(LANGUAGES)))),
        },
        coords | {"language": LANGUAGES},
    )
    stats = xr.Dataset(
        {
            "energy": (dims, rng.normal(size=shape)),
            "diverging": (dims, np.zeros(shape, dtype=bool)),
            "tree_depth": (dims, np.full(shape, 4)),
        },
        coords,
    )
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


def with_alpha_of_sw(change) -> xr.DataTree:
    """Draws ``(chain, draw)`` of alpha[sw] replaced by `change` of them."""
    draws = well_mixed()
    values = draws["posterior"]["alpha"].to_numpy()
    values[..., 1] = change(values[..., 1])
    return draws


def with_stat(name: str, chain: int, where: slice, value) -> xr.DataTree:
    draws = well_mixed()
    draws["sample_stats"][name].to_numpy()[chain, where] = value
    return draws


def failed(draws: xr.DataTree) -> dict[str, str]:
    """Names of the checks that fail, and where."""
    return {check.name: check.where for check in named_checks(draws, LIMIT) if not check.passed}


def checked(draws: xr.DataTree, name: str):
    (found,) = (check for check in named_checks(draws, LIMIT) if check.name == name)
    return found


def one_wider_chain(alpha):
    return alpha * np.array([1.0, 1.0, 1.0, 1.5])[:, None]


def sticky_sign(alpha):
    """Independent in size, but of one sign for 11 draws at a time: the tails mix, the centre does not."""
    return np.abs(alpha) * np.repeat(np.sign(alpha[:, ::11]), 11, axis=1)[:, :DRAWS]


def excursions(alpha):
    """Independent, but every 125 draws all chains alike are beyond everything else for 10."""
    return np.where(np.arange(DRAWS) % 125 < 10, 5 + 0.1 * np.abs(alpha), alpha)


def test_well_mixed_draws_pass_every_check():
    checks = named_checks(well_mixed(), LIMIT)
    assert [check.name for check in checks] == list(ADVICE)
    assert all(check.passed for check in checks)
    values = {check.name: check.value for check in checks}
    assert values["r_hat_below_1_01"] < 1.005
    assert values["ess_bulk_at_least_400"] > 1500
    assert values["ess_tail_at_least_400"] > 1500
    assert values["no_divergences"] == 0
    assert values["e_bfmi_at_least_0_3"] > 1
    assert values["tree_depth_below_limit"] == 4
    assert {check.name: check.limit for check in checks} == {
        "r_hat_below_1_01": 1.01,
        "ess_bulk_at_least_400": 400,
        "ess_tail_at_least_400": 400,
        "no_divergences": 0,
        "e_bfmi_at_least_0_3": 0.3,
        "tree_depth_below_limit": LIMIT,
    }


def test_a_check_that_passes_says_where_it_is_closest_to_failing():
    where = {check.name: check.where for check in named_checks(with_alpha_of_sw(lambda a: a.round()), LIMIT)}
    assert where["r_hat_below_1_01"] in {"alpha_scale", "alpha[en]", "alpha[sw]"}
    assert where["no_divergences"] == ""
    assert where["e_bfmi_at_least_0_3"].startswith("chain ")


@pytest.mark.parametrize(
    ("change", "name", "value", "advice"),
    [
        (one_wider_chain, "r_hat_below_1_01", 1.02, "chains disagree: sample longer"),
        (sticky_sign, "ess_bulk_at_least_400", 250, "too few independent draws for means: sample longer"),
        (excursions, "ess_tail_at_least_400", 280, "too few independent draws for interval ends: sample longer"),
    ],
)
def test_poor_mixing_fails_alone_and_names_the_parameter(change, name, value, advice):
    draws = with_alpha_of_sw(change)
    assert failed(draws) == {name: "alpha[sw]"}
    check = checked(draws, name)
    assert check.value == pytest.approx(value, rel=0.1 if value > 2 else 0.005)
    assert advice in check.advice


def test_divergences_fail_alone_and_name_the_chain():
    draws = with_stat("diverging", 2, slice(100, 103), True)
    draws["sample_stats"]["diverging"].to_numpy()[1, 7] = True
    assert failed(draws) == {"no_divergences": "chain 2"}
    check = checked(draws, "no_divergences")
    assert check.value == 4
    assert "leave out their language" in check.advice


def test_energy_that_wanders_fails_e_bfmi_alone_and_names_the_chain():
    draws = with_stat("energy", 1, slice(None), np.cumsum(np.random.default_rng(1).normal(size=DRAWS)))
    assert failed(draws) == {"e_bfmi_at_least_0_3": "chain 1"}
    check = checked(draws, "e_bfmi_at_least_0_3")
    assert 0 < check.value < 0.1
    assert "explores energies slowly" in check.advice


def test_trees_at_the_limit_fail_alone_and_name_the_chain():
    draws = with_stat("tree_depth", 3, slice(5, 6), LIMIT)
    assert failed(draws) == {"tree_depth_below_limit": "chain 3"}
    check = checked(draws, "tree_depth_below_limit")
    assert check.value == LIMIT
    assert "--max-tree-depth" in check.advice
    assert failed(with_stat("tree_depth", 3, slice(5, 6), LIMIT - 1)) == {}


def test_every_check_has_advice_of_its_own():
    advice = [check.advice for check in named_checks(well_mixed(), LIMIT)]
    assert advice == list(ADVICE.values())
    assert len(set(advice)) == 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_draw_that_is_not_finite_fails(value):
    draws = well_mixed()
    draws["posterior"]["alpha"].to_numpy()[1, 3, 1] = value
    mixing = ("r_hat_below_1_01", "ess_bulk_at_least_400", "ess_tail_at_least_400")
    assert failed(draws) == dict.fromkeys(mixing, "alpha[sw]")
    assert all(np.isnan(checked(draws, name).value) for name in mixing)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_energy_that_is_not_finite_fails(value):
    assert failed(with_stat("energy", 2, slice(9, 10), value)) == {"e_bfmi_at_least_0_3": "chain 2"}


def test_a_parameter_that_never_changes_fails_as_stuck_chains_do():
    assert failed(with_alpha_of_sw(np.ones_like)) == {"r_hat_below_1_01": "alpha[sw]"}
    assert np.isnan(checked(with_alpha_of_sw(np.ones_like), "r_hat_below_1_01").value)
    stuck = with_alpha_of_sw(lambda alpha: np.ones_like(alpha) * np.arange(CHAINS)[:, None])
    assert failed(stuck)["r_hat_below_1_01"] == "alpha[sw]"
