"""Scores against closed forms, and their properties."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.data.outliers import NU
from bayes_atlas.errors import InputError
from bayes_atlas.validation.predict import Prediction
from bayes_atlas.validation.proper_scores import LEVELS, RowScores, crps, r_squared, stacking_weights


def rows(loss, language="en"):
    loss = np.asarray(loss, dtype=float)
    names = {"language": np.broadcast_to(language, loss.shape).astype(str), "run": np.arange(len(loss)).astype(str)}
    columns = {"loss": loss, "tokens": np.full(len(loss), 1e9)} | names
    return xr.Dataset({name: ("row", values) for name, values in columns.items()}).set_coords(list(names))


@pytest.mark.parametrize("at", [-2.0, 0.0, 0.3, 4.0])
def test_crps_of_a_gaussian(at):
    """Evenly spaced quantiles instead of draws: what is left is the error of the grid, of order 1 / draws."""
    draws = scipy.stats.norm.ppf((np.arange(20000) + 0.5) / 20000)
    closed = at * (2 * scipy.stats.norm.cdf(at) - 1) + 2 * scipy.stats.norm.pdf(at) - 1 / np.sqrt(np.pi)
    assert crps(draws[None], np.array([at]))[0] == pytest.approx(closed, abs=1e-4)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(-5, 5))
def test_crps_is_what_its_definition_says(draws, loss):
    draws = np.sort(draws)
    pairs = np.abs(draws[:, None] - draws).mean()
    expected = np.abs(draws - loss).mean() - pairs / 2
    assert crps(draws[None], np.array([loss]))[0] == pytest.approx(expected, abs=1e-12)


@given(st.floats(-3, 3), st.floats(0.1, 10))
def test_crps_is_in_the_unit_of_the_loss(shift, scale):
    draws = np.sort(np.random.default_rng(0).normal(size=(3, 50)), axis=1)
    loss = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(crps(scale * draws + shift, scale * loss + shift), scale * crps(draws, loss), atol=1e-12)


def test_r_squared():
    loss = np.array([1.0, 2.0, 3.0])
    assert r_squared(loss, loss) == 1
    assert r_squared(loss, np.full(3, 2.0)) == 0
    assert r_squared(np.ones(3), loss) is None


def test_the_density_is_that_of_the_mixture_over_draws():
    prediction = Prediction(np.array([[0.0, 0.1]]), np.array([[0.02, 0.05]]))
    density = np.mean(scipy.stats.t.pdf(np.log(1.05), NU, [0.0, 0.1], [0.02, 0.05])) / 1.05
    assert prediction.log_density(np.array([1.05]))[0] == pytest.approx(np.log(density))


@given(st.integers(1, 5), st.integers(1, 30))
@settings(deadline=None, max_examples=20)
def test_the_density_integrates_to_one(draws, seed):
    rng = np.random.default_rng(seed)
    prediction = Prediction(rng.normal(1, 0.05, (1, draws)), np.full((1, draws), 0.02))
    grid = np.exp(np.linspace(-2, 4, 20001))
    density = np.exp(Prediction(np.repeat(prediction.location, 20001, axis=0), np.full((1, 1), 0.02)).log_density(grid))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-4)


def test_draws_are_of_the_predicted_distribution():
    """Against the mixture's CDF; false alarms: 1e-4."""
    prediction = Prediction(np.array([[0.0, 0.2]]), np.full((1, 1), 0.05))
    draws = np.log(prediction.draw(np.random.default_rng(0), least=5000)[0])
    assert len(draws) == 5000

    def cdf(value):
        return sum(scipy.stats.t.cdf(value, NU, centre, 0.05) for centre in (0.0, 0.2)) / 2

    assert scipy.stats.kstest(draws, cdf).pvalue > 1e-4


@pytest.mark.parametrize("seed", [0, 1])
def test_intervals_of_what_the_losses_come_of_hold_as_many_as_they_say(seed):
    """1000 rows whose losses are drawn from their prediction; each count within the .9999 interval of its binomial."""
    rng = np.random.default_rng(seed)
    prediction = Prediction(rng.normal(1, 0.3, (1000, 1)), rng.uniform(0.01, 0.1, (1000, 1)))
    loss = np.exp(prediction.location + prediction.scale * rng.standard_t(NU, (1000, 1)))[:, 0]
    summary = RowScores.of(prediction, rows(loss), seed).summary()
    for level in LEVELS:
        least, most = scipy.stats.binom.interval(0.9999, 1000, level)
        assert least <= 1000 * summary["coverage"][f"{level:g}"] <= most
    assert scipy.stats.chisquare(1000 * np.array(summary["pit"])).pvalue > 1e-4
    assert list(summary["width"].values()) == sorted(summary["width"].values())


def test_no_other_prediction_scores_better_than_the_truth():
    """CRPS and ELPD are proper: shifted, wider and narrower predictions lose, by 10 and more standard errors here."""
    rng = np.random.default_rng(0)
    loss = np.exp(1 + 0.05 * rng.standard_t(NU, 2000))

    def score(shift, widen):
        prediction = Prediction(np.full((2000, 1), 1 + shift), np.full((2000, 1), 0.05 * widen))
        return RowScores.of(prediction, rows(loss)).summary()

    truth = score(0.0, 1.0)
    for wrong in (score(0.05, 1.0), score(0.0, 3.0), score(0.0, 0.33)):
        assert wrong["crps"] > truth["crps"]
        assert wrong["elpd"] < truth["elpd"]


def test_what_part_of_a_run_a_row_is():
    table = rows([2.0, 2.2, 3.3, 3.0], ["en", "en", "en", "sw"]).assign(tokens=("row", [1e9, 4e9, 5e9, 2e9]))
    table = table.assign_coords(run=("row", ["a", "a", "b", "a"]))
    scores = RowScores.of(Prediction(np.zeros((4, 100)), np.full((4, 1), 0.1)), table)
    assert scores.trained.tolist() == [0.25, 1, 1, 1]
    assert scores.where(scores.trained < 1).summary()["n_test"] == 1


def test_the_same_scores_by_language():
    prediction = Prediction(np.log([[2.0], [2.0], [3.0]]), np.full((3, 1), 0.01))
    scores = RowScores.of(prediction, rows([2.0, 2.2, 3.3], ["en", "en", "sw"]))
    summary = scores.summary()
    english, swahili = (summary["by_language"][name] for name in ("en", "sw"))
    assert (summary["n_test"], english["n_test"], swahili["n_test"]) == (3, 2, 1)
    assert swahili["r2"] is None
    assert summary["elpd"] == pytest.approx(english["elpd"] + swahili["elpd"])
    assert summary["crps"] == pytest.approx((2 * english["crps"] + swahili["crps"]) / 3)
    assert english["rmse"] == pytest.approx(np.sqrt(0.2**2 / 2), rel=0.05)
    again = RowScores.joined([scores, scores]).summary()
    assert (again["n_test"], again["rmse"]) == (6, pytest.approx(summary["rmse"]))


# Stacking


def test_all_weight_is_on_the_model_that_is_always_better():
    weights = stacking_weights({"good": np.zeros(10), "bad": np.full(10, -2.0)})
    assert weights == pytest.approx({"good": 1, "bad": 0}, abs=1e-6)


def test_models_that_are_as_good_by_turns_share():
    turns = np.tile([0.0, -5.0], 20)
    assert stacking_weights({"one": turns, "other": turns[::-1]}) == pytest.approx({"one": 0.5, "other": 0.5}, abs=1e-4)
    assert stacking_weights({"alone": turns}) == {"alone": 1.0}


@given(st.integers(0, 1000), st.floats(-2000, 2000))
@settings(deadline=None, max_examples=30)
def test_no_other_weights_are_better(seed, level):
    """Also where densities are far from 1: only their ratios count."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(30, 3)) * 2 + level
    found = stacking_weights({str(number): logs[:, number] for number in range(3)})
    weights = np.array(list(found.values()))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()

    def objective(weights):
        return np.mean(np.log(np.exp(logs - level) @ weights))

    others = rng.dirichlet(np.ones(3), 50)
    assert objective(weights) >= max(map(objective, others)) - 1e-6


def test_a_density_that_is_not_a_number_is_refused():
    densities = {"good": np.zeros(3), "bad": np.array([0.0, np.nan, 0.0])}
    with pytest.raises(InputError, match="the log density of bad is nan in some rows"):
        stacking_weights(densities)


def test_a_row_that_no_model_allows_says_nothing_of_weights():
    densities = {"good": np.array([0.0, -np.inf, 0.0]), "bad": np.array([-3.0, -np.inf, -3.0])}
    assert stacking_weights(densities) == pytest.approx({"good": 1, "bad": 0}, abs=1e-6)
