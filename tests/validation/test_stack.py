"""The stack: a mixture of what models predict, and weights that a run had no part in."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_atlas.data.outliers import NU
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.held_out import validate
from bayes_atlas.validation.predict import Prediction, predict
from bayes_atlas.validation.proper_scores import RowScores, of_runs, stacking_weights
from bayes_atlas.validation.splits import by_random
from bayes_atlas.validation.stack import Stack, predict_stack

ROWS, SCALE = 400, 0.02


@pytest.fixture
def loss():
    """Losses around 3 with the noise of the models."""
    return 3 * np.exp(SCALE * np.random.default_rng(0).standard_t(NU, ROWS))


def of_draws(centre, draws, seed=0):
    """Predictions whose draws scatter a little around the log of `centre`."""
    scatter = 0.2 * SCALE * np.random.default_rng(seed).normal(size=(ROWS, draws))
    return Prediction(np.log(centre) + scatter, np.full((ROWS, 1), SCALE))


def table(loss):
    names = {"language": np.full(len(loss), "en"), "run": np.arange(len(loss)).astype(str)}
    columns = {"loss": loss, "tokens": np.full(len(loss), 1e9)} | names
    return xr.Dataset({name: ("row", values) for name, values in columns.items()}).set_coords(list(names))


def test_its_density_is_the_weighted_sum_of_densities(loss):
    """Also where one of the models has no weight, and where weights differ between rows."""
    parts = [of_draws(3.0, 50), of_draws(3.1, 80, seed=1), of_draws(9.0, 20, seed=2)]
    weights = np.tile([[0.7, 0.3, 0.0], [0.1, 0.2, 0.7]], (ROWS // 2, 1))
    density = np.exp([part.log_density(loss) for part in parts])
    found = np.exp(Stack(parts, weights).log_density(loss))
    np.testing.assert_allclose(found, (weights * density.T).sum(axis=1), rtol=1e-12)


def test_its_draws_are_of_each_model_in_proportion_to_its_weight():
    """Models so far apart that every draw says whose it is; 200 draws and 3000 make one mixture."""
    weights = np.tile([[0.7, 0.3], [0.05, 0.95]], (ROWS // 2, 1))
    drawn = Stack([of_draws(1.0, 200), of_draws(100.0, 3000)], weights).draw(np.random.default_rng(0))
    np.testing.assert_allclose((drawn < 10).mean(axis=1), weights[:, 0], atol=1 / 2000)


def test_its_draws_are_those_of_its_density(loss):
    """PIT values of losses that the mixture itself made are uniform: 400 of them are within 5 standard errors."""
    rng = np.random.default_rng(1)
    parts, weights = [of_draws(3.0, 2000), of_draws(3.2, 2000, seed=1)], np.array([[0.6, 0.4]])
    centre = np.where(rng.uniform(size=ROWS) < 0.6, 3.0, 3.2)
    made = centre * np.exp(0.2 * SCALE * rng.normal(size=ROWS) + SCALE * rng.standard_t(NU, ROWS))
    pit = RowScores.of(Stack(parts, weights), table(made)).pit
    assert pit.mean() == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / ROWS))
    assert pit.std() == pytest.approx(np.sqrt(1 / 12), abs=5 * np.sqrt(1 / 180 / ROWS) * np.sqrt(3))


def runs(sizes=6, lengths=5):
    rng = np.random.default_rng(0)
    params, tokens = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, sizes), np.geomspace(1e9, 2e11, lengths))
    )
    loss = chinchilla.loss(params / 1e9, tokens / 2e10, E=1.5, A=0.5, B=0.6, alpha=0.33, beta=0.28)
    loss = loss * np.exp(0.01 * rng.standard_t(NU, params.size))
    frame = pd.DataFrame({"language": "en", "params": params, "tokens": tokens, "loss": loss})
    return runs_from_frame(frame.rename_axis("run").reset_index())


def test_a_validation_scores_the_stack_of_its_models():
    found = validate(runs(), ["huber", "varpro"], holdout="random")
    stack = found.stack.summary()
    scores = [found.summary(name) for name in ("huber", "varpro")]
    assert stack["n_test"] == scores[0]["n_test"]
    least, most = sorted(each["elpd"] for each in scores)
    assert least - 1 < stack["elpd"] < most + 1
    np.testing.assert_array_equal(found.stack.loss, found.scores["huber"].loss)
    assert validate(runs(), ["varpro"], holdout="random").stack is None


def test_rows_that_are_scored_choose_no_weights():
    """Weights stay as they are whatever the held-out losses, and are those of a hold-out of the fitted rows."""
    table = runs()
    mask = by_random(table)
    table["loss"] = ("row", np.where(mask, table["loss"] * 1.5, table["loss"]))
    off, found = (validate(each, ["huber", "varpro"], holdout="random") for each in (table, runs()))
    assert off.weights == found.weights
    fitted = runs().isel(row=~mask)
    inner = validate(fitted.assign_attrs(name="fitted"), ["huber", "varpro"], holdout="random")
    density = {name: of_runs(rows.log_density, rows.run) for name, rows in inner.scores.items()}
    assert found.weights == pytest.approx(stacking_weights(density), abs=1e-6)


def test_a_good_model_gets_the_weight_and_the_stack_its_score(loss):
    """A model that is 5 % off has next to no weight; the search for weights costs a fiftieth of what it loses."""
    parts = {"bad": of_draws(3.15, 100), "good": of_draws(3.0, 100, seed=1)}
    others = 3 * np.exp(SCALE * np.random.default_rng(1).standard_t(NU, ROWS))
    weights = stacking_weights({name: part.log_density(others) for name, part in parts.items()})
    assert weights["good"] > 0.95
    scores = {name: RowScores.of(part, table(loss)).summary() for name, part in parts.items()}
    stack = RowScores.of(Stack(list(parts.values()), np.array([list(weights.values())])), table(loss)).summary()
    lost = {name: scores["good"]["elpd"] - each["elpd"] for name, each in (scores | {"stack": stack}).items()}
    assert lost["bad"] > 200
    assert lost["stack"] < lost["bad"] / 50
    assert stack["crps"] == pytest.approx(scores["good"]["crps"], rel=0.02)


def test_posteriors_are_stacked_by_weight(tiny_posterior):
    table = runs().isel(row=slice(5))
    noise = xr.full_like(tiny_posterior.draws["posterior"]["E"], 0.01)
    tree = tiny_posterior.draws.assign(
        {"posterior": xr.DataTree(tiny_posterior.draws["posterior"].to_dataset().assign(sigma=noise))}
    )
    one = type(tiny_posterior)(tree, tiny_posterior.info, "one")
    other = type(tiny_posterior)(tree.isel(draw=slice(10)), tiny_posterior.info, "other")
    stack = predict_stack({"one": one, "other": other}, {"other": 0.25, "one": 0.75}, table, table)
    loss = table["loss"].to_numpy()
    densities = [np.exp(predict(posterior, table, table).log_density(loss)) for posterior in (one, other)]
    np.testing.assert_allclose(np.exp(stack.log_density(loss)), 0.75 * densities[0] + 0.25 * densities[1])
    with pytest.raises(InputError, match="other has a weight or a posterior, but not both"):
        predict_stack({"one": one}, {"one": 0.5, "other": 0.5}, table, table)
    with pytest.raises(InputError, match=r"are not shares; give weights of at least 0 with sum 1"):
        predict_stack({"one": one, "other": other}, {"one": 0.5, "other": 0.6}, table, table)
