"""Optima over a range of budgets."""

import re
from dataclasses import replace

import numpy as np
import pytest

from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.trajectory import budgets_between, trajectories, trajectory
from bayes_atlas.errors import InputError

BUDGETS = [1e19, 1e21, 1e24]


@pytest.mark.parametrize(
    "request_",
    [{"language": "sw", "unique": 1e9}, {"weights": {"sw": 1, "en": 2}, "served": 1e11, "max_params": 5e9}],
    ids=["one language", "two languages"],
)
def test_it_is_the_optimum_at_every_budget(of_law, request_):
    path = trajectory(of_law("atlas", draws=100), compute=BUDGETS, **request_)
    for index, compute in enumerate(BUDGETS):
        plan = optimum(of_law("atlas", draws=100), compute=compute, **request_)
        for name in path.quantities:
            np.testing.assert_allclose(path.quantities[name][:, index], plan.quantities[name], rtol=1e-7)


def test_repetition_bends_it_towards_size(of_law):
    free, few = (trajectory(of_law("atlas"), compute=BUDGETS, language="sw", unique=u) for u in (None, 1e10))
    growth = [np.log(path.params[:, -1] / path.params[:, 0]) for path in (free, few)]
    new_at_first = few.epochs[:, 0] == 1
    assert new_at_first.mean() > 0.5
    assert (growth[1] >= growth[0] - 1e-9)[new_at_first].all()
    assert (growth[1] > growth[0] + 0.1).mean() > 0.5
    assert (few.params >= free.params * (1 - 1e-9)).all()


def test_summary_by_budget(of_law):
    path = trajectory(of_law("chinchilla"), compute=BUDGETS, language="sw")
    rows = path.summary(0.5)
    assert [row["compute"] for row in rows] == BUDGETS
    assert set(rows[0]) == {"compute", "params", "tokens", "loss", "epochs"}
    assert rows[1]["params"]["median"] == np.median(path.params[:, 1])
    assert path.language == "sw"
    assert path.notes == []


def test_budgets_are_even_in_logs():
    np.testing.assert_allclose(budgets_between(1e18, 1e22, 5), [1e18, 1e19, 1e20, 1e21, 1e22])


def test_mistakes(of_law):
    with pytest.raises(InputError, match=r"budgets run from 1e\+22 to 1e\+20; give the smaller end first"):
        budgets_between(1e22, 1e20)
    with pytest.raises(InputError, match="the least budget is 0; it must be a positive number"):
        budgets_between(0, 1e20)
    with pytest.raises(InputError, match="compute must be a list of budgets"):
        trajectory(of_law("chinchilla", draws=2), compute=[], language="sw")
    with pytest.raises(InputError, match=re.escape("compute is -1e+20; it must be a positive number")):
        trajectory(of_law("chinchilla", draws=2), compute=[1e19, -1e20], language="sw")


def test_a_trajectory_keeps_what_every_decision_promises(of_law, keeps_its_promises):
    posterior = replace(of_law("atlas", draws=50), name="<mine>")
    path = trajectory(posterior, compute=BUDGETS, language="sw", unique=1e9, max_params=1e10)
    keeps_its_promises(path, dict.fromkeys(path.quantities, ("draw", "budget")))
    np.testing.assert_array_equal(path.draws["budget"], BUDGETS)
    assert path.draws["budget"].attrs["units"] == "FLOPs"
    document = path.to_dict(0.8)
    assert document["trajectory"] == path.summary(0.8)
    assert (document["language"], document["unique"], document["max_params"]) == ("sw", 1e9, 1e10)


def test_trajectories_keep_what_every_decision_promises(of_law, keeps_its_promises):
    """More rows than a screen has, too."""
    posterior = replace(of_law("atlas", draws=20), name="<mine>")
    found = trajectories(posterior, compute=np.geomspace(1e19, 1e23, 9), unique=1e9, served=1e11)
    assert list(found.paths) == ["sw", "en", "fr"]
    dims = ("draw", "budget", "language")
    keeps_its_promises(found, dict.fromkeys(("params", "tokens", "loss", "epochs"), dims))
    np.testing.assert_array_equal(found.draws["params"].sel(language="en"), found.paths["en"].params)
    assert found.draws["budget"].attrs["units"] == "FLOPs"
    document = found.to_dict(0.8)
    assert document["trajectories"] == {name: path.summary(0.8) for name, path in found.paths.items()}
    assert (document["posterior"], document["unique"], document["served"]) == ("<mine>", 1e9, 1e11)
    alone = trajectory(posterior, compute=found.compute, language="en", unique=1e9, served=1e11)
    np.testing.assert_array_equal(found.paths["en"].params, alone.params)


def test_languages_together_are_one_more_trajectory(of_law):
    posterior, weights = of_law("atlas", draws=20), {"sw": 3, "en": 1}
    together = trajectories(posterior, compute=BUDGETS, weights=weights, unique=1e9)
    assert list(together.paths) == ["sw + en"]
    alone = trajectory(posterior, compute=BUDGETS, weights=weights, unique={"sw": 1e9, "en": 1e9})
    np.testing.assert_array_equal(together.paths["sw + en"].tokens, alone.tokens)
    assert together.notes == alone.notes
    both = trajectories(posterior, compute=BUDGETS, languages=["fr"], weights=weights)
    assert list(both.paths) == ["fr", "sw + en"]
