"""The compiled parts: densities, padding, recentring, and how often they are compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from bayes_atlas.catalogue import model_names, read_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.inference.calls import keyworded
from bayes_atlas.observations.curves import arrange
from bayes_atlas.sampler.centring import Centring
from bayes_atlas.sampler.driver import sample, sample_many
from bayes_atlas.sampler.layout import Layout
from bayes_atlas.sampler.metric import Metric
from bayes_atlas.sampler.program import Argument, Tuning, program
from bayes_atlas.sampler.settings import Settings

TUNING = Tuning(50, 0.9, 10)

# Models that take more than runs from scratch.
OTHER_TABLES = ("bilingual", "crossover", "crossover_rule", "law_error", "transfer")


def test_a_program_is_made_once(regression, regression_data):
    layout = Layout.of(regression, regression_data)
    assert program(regression, layout, TUNING) is program(regression, Layout.of(regression, regression_data), TUNING)
    assert program(regression, layout, Tuning(50, 0.95, 10)) is not program(regression, layout, TUNING)


def test_the_potential_is_minus_the_log_joint_density(regression, regression_data, regression_truth):
    part = program(regression, Layout.of(regression, regression_data), TUNING)
    mean, covariance = regression_truth(regression_data)
    away = np.array([0.3, -0.001, 0.2, -0.1])
    rise = part.potential(jnp.asarray(mean + away), regression_data) - part.potential(
        jnp.asarray(mean), regression_data
    )
    assert rise == pytest.approx(0.5 * away @ np.linalg.solve(covariance, away), rel=1e-9)


def test_recentred_draws_are_the_same_parameters(schools_by_language, schools_data):
    layout = Layout.of(schools_by_language, schools_data)
    part = program(schools_by_language, layout, TUNING)
    rng = np.random.default_rng(0)
    root = np.tril(rng.normal(size=(2, 2))) + 3 * np.eye(2)
    metric = Metric(rng.normal(size=10), root, rng.normal(size=(8, 1, 2)), rng.uniform(1, 2, (8, 1, 1)))
    pooled = np.full((8, 1), 0.8)
    centring = Centring(np.zeros(2), pooled, rng.normal(size=2))
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), Argument(metric, centring, schools_data))
    other = stacked.centring.reversed(layout, ["theta"])
    z = rng.normal(size=(2, 3, 5, 10))
    moved = part.recentre(z, stacked, other)
    assert not np.allclose(moved[..., 2:], z[..., 2:])
    before, _ = part.describe(z, stacked)
    after, _ = part.describe(moved, stacked._replace(centring=other))
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-9)


# Padding


@pytest.fixture(scope="module")
def table():
    """Runs of one to three checkpoints on two languages that repeat and borrow."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(11):
        for language, other in (("en", "sw"), ("sw", "en")):
            for step in range(1 + number % 3):
                own = 2.0**step * 10 ** rng.uniform(9, 10)
                tokens = {f"tokens.{language}": own, f"tokens.{other}": own * (number % 2), "tokens.fr": own / 3}
                unique = {f"unique.{name}": 2e9 for name in ("en", "sw", "fr")}
                identity = {"run": f"r{number}{language}", "language": language, "params": 1e8 * 2.0 ** (number % 5)}
                rows.append(identity | tokens | unique | {"loss": 3 * np.exp(0.05 * rng.normal())})
    return runs_from_frame(pd.DataFrame(rows))


@pytest.mark.parametrize("name", [name for name in model_names() if name not in OTHER_TABLES])
def test_padding_changes_no_density_gradient_or_likelihood(name, table):
    model = read_model(name)
    data = arrange(table, model.covariates, sources=1)
    exact = data.curves.shape
    shapes = [exact, exact._replace(runs=exact.runs + 7, steps=5, of_language=exact.of_language + 7, of_size=16)]
    layouts = [Layout.of(keyworded(model), data.padded(shape)) for shape in shapes]
    assert layouts[0] == layouts[1]
    part = program(keyworded(model), layouts[0], TUNING)
    vector = jnp.asarray(0.3 * np.random.default_rng(1).normal(size=layouts[0].size))
    (one, slope), (other, other_slope) = (
        jax.jit(jax.value_and_grad(part.potential))(vector, data.padded(shape)) for shape in shapes
    )
    assert other == pytest.approx(float(one), rel=1e-12)
    np.testing.assert_allclose(other_slope, slope, rtol=1e-9, atol=1e-9 * np.abs(slope).max())
    (_, likelihood), (_, padded) = (jax.jit(part.sites)(vector, data.padded(shape)) for shape in shapes)
    np.testing.assert_allclose(padded[: exact.runs], likelihood, rtol=1e-12)
    np.testing.assert_allclose(padded[exact.runs :], 0, atol=1e-12)


# Compilation


@pytest.fixture
def compiled():
    """What jax compiles from here on."""
    events = []

    def heard(event, duration, **details):
        if event.endswith("backend_compile_duration"):
            events.append(details.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield events
    jax.monitoring.unregister_event_duration_listener(heard)


def test_other_data_and_other_seeds_compile_nothing(regression, regression_data, compiled):
    settings = Settings(2, 150, 50, seed=0, max_tree_depth=9)
    covariates, loss = regression_data
    sample(regression, regression_data, settings)
    assert "advance" in " ".join(compiled)
    # Late in a long process, jax has been seen to compile a program once more at its second use.
    sample(regression, (covariates, loss + 2), settings)
    compiled.clear()
    sample(regression, (covariates, loss + 1), settings)
    sample(regression, regression_data, Settings(2, 150, 50, seed=1, max_tree_depth=9))
    assert compiled == []
    sample(regression, regression_data, Settings(2, 150, 100, seed=0, max_tree_depth=9))
    assert compiled == ["jit(describe)"]  # of as many draws as there are


def test_many_data_sets_compile_once(regression, regression_data, compiled):
    covariates, loss = regression_data
    settings = Settings(1, 150, 50, seed=0, max_tree_depth=9)
    sample_many(regression, [(covariates, loss + shift) for shift in (0.0, 1.0)], settings)
    compiled.clear()
    sample_many(regression, [(covariates, loss + shift) for shift in (2.0, 3.0)], settings)
    assert compiled == []


def test_no_chain_begins_up_a_wall(schools_by_language, schools_data, start_of):
    layout, start = start_of(schools_by_language, schools_data)
    part = program(schools_by_language, layout, TUNING)
    argument = jax.tree.map(lambda leaf: np.asarray(leaf)[None], Argument(start.metric, start.centring, schools_data))
    z = np.random.default_rng(0).normal(size=(1, 3, layout.size))
    z[0, 0] *= 100  # in the neck of the funnel, or beyond it
    keys = np.zeros((1, 3, 2), np.uint32)
    begun = np.asarray(part.begin(keys, z, argument).z)
    one = jax.tree.map(lambda leaf: leaf[0], argument)

    def height(z):
        return float(part.apart(one.metric.apply(jnp.asarray(z), layout), one.centring, one.data))

    assert height(begun[0, 0]) - height(0 * z[0, 0]) <= 5 * layout.size < height(z[0, 0]) - height(0 * z[0, 0])
    np.testing.assert_array_equal(begun[0, 1:], z[0, 1:])
