"""Point fits find what they were simulated from, and published figures; their intervals come of resampled runs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.data.runs import read_runs, runs_from_frame
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.baselines import BASELINES, BaselineError, Constants, huber, predict_baseline, varpro

TRUTH = Constants(1.7, 400.0, 800.0, 0.33, 0.3)
BESIROGLU = {"E": (1.8172, 0.03), "A": (482.01, 124.58), "B": (2085.43, 1293.23), "alpha": (0.3478, 0.02)}
BESIROGLU["beta"] = (0.3658, 0.02)
every_fit = pytest.mark.parametrize("fit", [huber, varpro])


def sizes(count=5):
    return tuple(grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, count), np.geomspace(1e9, 2e11, count)))


def table(noise=0.005, languages=("en",)):
    rng = np.random.default_rng(0)
    params, tokens = sizes()
    parts = []
    for language in languages:
        loss = np.exp(TRUTH.log_loss(params, tokens) + noise * rng.normal(size=params.size))
        run = [f"{language}{number}" for number in range(params.size)]
        parts.append({"run": run, "language": language, "params": params, "tokens": tokens, "loss": loss})
    return runs_from_frame(pd.concat(map(pd.DataFrame, parts)))


@every_fit
def test_without_noise_the_truth_is_found(fit):
    params, tokens = sizes()
    found = fit(params, tokens, np.exp(TRUTH.log_loss(params, tokens)))
    np.testing.assert_allclose(found, TRUTH, rtol=0.01)
    np.testing.assert_allclose(found.log_loss(params, tokens), TRUTH.log_loss(params, tokens), atol=1e-4)


@every_fit
def test_published_constants_are_found(fit, data_folder):
    """Those of Besiroglu et al. (2024), within a standard error by Huber as there, within three by least squares."""
    runs = read_runs(data_folder / "chinchilla.csv")
    kept = runs.isel(row=~runs["outlier"].to_numpy())
    found = fit(*(kept[name].to_numpy() for name in ("params", "tokens", "loss")))
    errors = 1 if fit is huber else 3
    for name, (value, error) in BESIROGLU.items():
        assert getattr(found, name) == pytest.approx(value, abs=errors * error)


@given(st.integers(0, 50))
@settings(deadline=None, max_examples=5)
def test_no_nearby_constants_have_a_smaller_error(seed):
    """Of varpro: relative squares, over perturbations of all five constants."""
    rng = np.random.default_rng(seed)
    params, tokens = sizes()
    loss = np.exp(TRUTH.log_loss(params, tokens) + 0.01 * rng.normal(size=params.size))

    def error(constants):
        return (((chinchilla.loss(params, tokens, **constants._asdict()) - loss) / loss) ** 2).sum()

    found = varpro(params, tokens, loss)
    others = (Constants(*(np.array(found) * np.exp(0.01 * rng.normal(size=5)))) for _ in range(50))
    assert error(found) <= min(map(error, others)) * (1 + 1e-6)


def test_outliers_move_huber_less():
    params, tokens = sizes()
    loss = np.exp(TRUTH.log_loss(params, tokens) + 0.003 * np.random.default_rng(0).normal(size=params.size))
    loss[[3, 11]] *= 1.2
    misses = [
        np.abs(fit(params, tokens, loss).log_loss(params, tokens) - TRUTH.log_loss(params, tokens)).max()
        for fit in (huber, varpro)
    ]
    assert misses[0] < 0.01 < misses[1]


@pytest.mark.parametrize("name", BASELINES)
def test_predictions_are_around_the_truth_and_as_wide_as_the_noise(name):
    runs = table(languages=("en", "sw"))
    prediction = predict_baseline(name, runs, runs, bootstraps=20)
    assert prediction.location.shape == (50, 20)
    truth = TRUTH.log_loss(runs["params"].to_numpy(), runs["tokens"].to_numpy())
    np.testing.assert_allclose(np.median(prediction.location, axis=1), truth, atol=0.02)
    assert (prediction.scale > 0.001).all()
    assert (prediction.scale < 0.02).all()
    again = predict_baseline(name, runs, runs, bootstraps=20)
    np.testing.assert_array_equal(prediction.location, again.location)


def test_runs_are_resampled_whole():
    """A run's checkpoints repeated say nothing more: intervals of the law are as wide as from one of them."""
    once = table(noise=0.01)
    again = once.isel(row=np.tile(np.arange(once.sizes["row"]), 4))
    widths = [predict_baseline("varpro", once, fitted, bootstraps=60).location.std(axis=1) for fitted in (once, again)]
    np.testing.assert_allclose(widths[1], widths[0], rtol=1e-2, atol=1e-5)


def test_extrapolation_is_wider_than_interpolation():
    runs = table(noise=0.01)
    far = runs.copy()
    far["params"], far["tokens"] = far["params"] * 100, far["tokens"] * 100
    near, beyond = (predict_baseline("varpro", rows, runs, bootstraps=40) for rows in (runs, far))
    assert np.median(beyond.location.std(axis=1)) > 2 * np.median(near.location.std(axis=1))


def test_too_few_runs():
    runs = table()
    with pytest.raises(BaselineError, match=r"huber fits five parameters .* has 5 runs of en \(needed: 6\)"):
        predict_baseline("huber", runs, runs.isel(row=slice(5)))


@pytest.mark.parametrize("name", BASELINES)
def test_few_sizes_that_are_resampled_to_fewer_still_predict(name):
    """Of resamples with runs of one size the exponent of size is not to be had; it may not run away to infinity."""
    rng = np.random.default_rng(2)
    params, tokens = np.tile([1e8, 3e8, 1e9, 3e9], 2), np.repeat([4e9, 3e10], 4)
    loss = np.exp(TRUTH.log_loss(params, tokens) + 0.01 * rng.normal(size=8))
    run = [f"r{number}" for number in range(8)]
    runs = runs_from_frame(
        pd.DataFrame({"run": run, "language": "en", "params": params, "tokens": tokens, "loss": loss})
    )
    prediction = predict_baseline(name, runs, runs, seed=2, bootstraps=100)
    assert np.isfinite(prediction.location).all()
