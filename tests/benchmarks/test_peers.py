"""Peers sample the posterior they are said to sample, and the table's ratios are right."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import potential_energy

from bayes_atlas.catalogue import load_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.observations.curves import arrange
from benchmarks.engines.problem import PARAMETERS, POPULATIONS, Rows
from benchmarks.engines.textbook import same_priors
from benchmarks.peers import OURS, Measured, row
from benchmarks.tables import chinchilla_study

LANGUAGES = 3


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def test_the_textbook_with_our_priors_is_the_shipped_model():
    """Up to the Jacobian of non-centring: the log of every pooling scale, once for each language."""
    table = chinchilla_study(LANGUAGES, 9).runs
    model = load_model("chinchilla").model
    data = arrange(runs_from_frame(table), [name for name in inspect.signature(model).parameters if name != "loss"])
    arguments = data.covariates | {"loss": jnp.asarray(data.loss)}
    rng = np.random.default_rng(0)
    for _ in range(5):
        ours, theirs, jacobian = {}, {}, 0.0
        for name in POPULATIONS:
            location, log_scale, offset = rng.normal(size=2) * 0.3, rng.normal() * 0.3, rng.normal(size=LANGUAGES)
            shared = {f"{name}_location": location[0] - 1, f"{name}_scale": log_scale}
            ours |= shared | {name: location[0] - 1 + np.exp(log_scale) * offset}
            theirs |= shared | {f"{name}_offset": offset}
            jacobian += LANGUAGES * log_scale
        shipped = potential_energy(model, (), arguments, ours)
        textbook = potential_energy(same_priors, (Rows.of(table),), {}, theirs)
        assert float(shipped - jacobian) == pytest.approx(float(textbook), rel=1e-10)


def drawn(seed, cpu, shift=0.0):
    rng = np.random.default_rng(seed)
    sampled = {name: rng.normal(size=(4, 500)) + shift for name in PARAMETERS}
    return Measured(sampled | {"n_steps": np.full((4, 500), 7), "diverging": np.zeros((4, 500), bool)}, cpu, cpu)


def test_a_peer_that_takes_ten_times_as_long_is_a_tenth_as_fast():
    cells = row("same_priors", drawn(1, cpu=100.0), drawn(0, cpu=10.0))
    assert float(cells[6]) == pytest.approx(10, rel=0.2)
    assert float(cells[9].split()[0]) < 5
    assert [float(end) for end in cells[10].split(" to ")] == pytest.approx([1, 1], abs=0.1)


def test_ours_is_once_as_fast_as_itself_and_compared_with_nobody():
    ours = drawn(0, cpu=10.0)
    cells = row(OURS, ours, ours)
    assert float(cells[6]) == 1
    assert cells[-2:] == ["", ""]


def test_a_peer_that_samples_something_else_shows():
    cells = row("same_priors", drawn(1, cpu=10.0, shift=0.3), drawn(0, cpu=10.0))
    assert float(cells[9].split()[0]) > 5
