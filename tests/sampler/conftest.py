"""Models whose posteriors are known, and what tells whether draws are of them."""

from dataclasses import dataclass

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats

from bayes_atlas.sampler.layout import Layout, Population
from bayes_atlas.sampler.program import Tuning, program

LEAST_ESS = 400


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def agrees(draws, mean, sd, least=LEAST_ESS):
    """Mean and sd of `draws` ``(chain, draw)`` are those, within five Monte Carlo errors; with enough draws to tell.

    False alarms: less than one in a million.
    """
    bulk = float(az.ess(draws, method="bulk"))
    assert bulk > least
    assert abs(draws.mean() - mean) < 5 * sd / np.sqrt(bulk)
    squares = float(az.ess((draws - mean) ** 2, method="bulk"))
    spread = ((draws - mean) ** 2).std()
    assert abs(((draws - mean) ** 2).mean() - sd**2) < 5 * spread / np.sqrt(squares)


@pytest.fixture(scope="session", name="assert_agrees")
def _assert_agrees():
    return agrees


def find_start(model, data, *, blocks=True):
    """The layout of a model and its start on one data set."""
    layout = Layout.of(model, data, blocks=blocks)
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], data)
    start = program(model, layout, Tuning(50, 0.9, 10)).start(np.zeros((1, 1, 2), np.uint32), stacked)
    return layout, jax.tree.map(lambda leaf: np.asarray(leaf)[0], start)


@pytest.fixture(scope="session")
def start_of():
    return find_start


# A conjugate model: normal coefficients, normal noise


def _regression(covariates, loss=None):
    design = covariates["design"]
    coefficients = numpyro.sample("coefficients", dist.Normal(0.0, 2.0).expand([design.shape[1]]).to_event(1))
    numpyro.deterministic("total", coefficients.sum())
    with numpyro.plate("run", design.shape[0]):
        numpyro.sample("loss", dist.Normal(design @ coefficients, 0.5), obs=loss)


@pytest.fixture(scope="session")
def regression():
    return _regression


@pytest.fixture(scope="session")
def regression_data():
    rng = np.random.default_rng(0)
    design = np.column_stack([np.ones(30), rng.normal(size=(30, 3))])
    design[:, 3] += 0.95 * design[:, 2]  # strongly correlated coefficients
    design[:, 1] *= 100  # of very different scales
    return {"design": design}, design @ [1.0, 0.02, -1.0, 0.5] + 0.5 * rng.normal(size=30)


def exactly(data):
    """Mean and covariance of the exact posterior."""
    covariates, loss = data
    design = covariates["design"]
    covariance = np.linalg.inv(design.T @ design / 0.25 + np.eye(design.shape[1]) / 4)
    return covariance @ design.T @ loss / 0.25, covariance


@pytest.fixture(scope="session")
def regression_truth():
    return exactly


# Languages around a common level: normal throughout, so a block for each language is exact; unless a factor ties two

TIE = 3.0  # curvature between the levels of the first two languages, where their own is about 10


def _languages(covariates, loss=None):
    common = numpyro.sample("common", dist.Normal(0.0, 2.0))
    with numpyro.plate("language", covariates["languages"].shape[0]):
        level = numpyro.sample("level", dist.Normal(common, 1.0))
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    of_run = jnp.asarray(covariates["language"])
    with numpyro.plate("run", of_run.shape[0]):
        expected = level[of_run] + slope[of_run] * covariates["x"]
        numpyro.sample("loss", dist.Normal(expected, 1.0), obs=loss)
    return level


def _tied(covariates, loss=None):
    level = _languages(covariates, loss)
    numpyro.factor("tie", -TIE * level[0] * level[1])


@pytest.fixture(scope="session")
def languages():
    return _languages


@pytest.fixture(scope="session")
def tied():
    return _tied


@pytest.fixture(scope="session")
def languages_data():
    rng = np.random.default_rng(2)
    language = np.repeat(np.arange(3), [10, 6, 2])
    x = rng.normal(size=18)
    loss = np.array([1.0, -0.5, 0.3])[language] + 0.5 * x + rng.normal(size=18)
    return {"language": language, "x": x, "languages": np.zeros(3)}, loss


@pytest.fixture(scope="session")
def languages_truth(languages_data):
    """Mean and covariance of (common, level of each, slope of each), with the given curvature between two levels."""

    def truth(tie=0.0):
        covariates, loss = languages_data
        runs, at = np.arange(18), covariates["language"]
        design = np.zeros((18, 7))
        design[runs, 1 + at], design[runs, 4 + at] = 1.0, covariates["x"]
        prior = np.diag([0.25 + 3, *[1.0] * 6])
        prior[0, 1:4] = prior[1:4, 0] = -1.0
        prior[1, 2] = prior[2, 1] = tie
        covariance = np.linalg.inv(prior + design.T @ design)
        return covariance @ design.T @ loss, covariance

    return truth


# A hierarchy that is a funnel: eight schools (Rubin 1981), whose populations the data hardly determine

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


POOLED = {"pool": Population("theta_location", "theta_scale")}


def _schools_by(plate):
    def model(covariates, loss=None):
        errors = covariates["errors"]
        location = numpyro.sample("theta_location", dist.Normal(0.0, 5.0))
        scale = numpyro.sample("theta_scale", dist.HalfNormal(5.0))
        with numpyro.plate(plate, len(errors)):
            theta = numpyro.sample("theta", dist.Normal(location, scale), infer=POOLED)
            numpyro.sample("loss", dist.Normal(theta, errors), obs=loss)

    return model


@pytest.fixture(scope="session")
def schools():
    """All parameters global."""
    return _schools_by("school")


@pytest.fixture(scope="session")
def schools_by_language():
    """Each school its own block."""
    return _schools_by("language")


@pytest.fixture(scope="session")
def schools_data():
    return {"errors": ERRORS}, EFFECTS


@dataclass(frozen=True)
class Quadrature:
    """The posterior of the schools on a grid of the scale; given it, location and effects are normal."""

    scale: np.ndarray  # (grid,)
    probability: np.ndarray  # (grid,)
    moments: dict[str, tuple[np.ndarray, np.ndarray]]  # mean and sd by site


@pytest.fixture(scope="session")
def schools_truth():
    scale = np.linspace(1e-4, 40, 8001)
    precision = 1 / (ERRORS**2 + scale[:, None] ** 2)
    variance = 1 / (precision.sum(axis=1) + 1 / 25)
    mean = variance * (precision * EFFECTS).sum(axis=1)
    log_density = scipy.stats.halfnorm(scale=5).logpdf(scale) + 0.5 * np.log(precision).sum(axis=1)
    log_density += 0.5 * np.log(variance) - 0.5 * ((precision * EFFECTS**2).sum(axis=1) - mean**2 / variance)
    probability = np.exp(log_density - scipy.special.logsumexp(log_density))
    shrinkage = ERRORS**2 * precision  # weight of the location in each school's effect
    theta = shrinkage * mean[:, None] + (1 - shrinkage) * EFFECTS
    theta_variance = ERRORS**2 * (1 - shrinkage) + shrinkage**2 * variance[:, None]

    def overall(conditional_mean, conditional_variance):
        first = probability @ conditional_mean
        return first, np.sqrt(probability @ (conditional_variance + conditional_mean**2) - first**2)

    moments = {
        "theta_scale": overall(scale, np.zeros_like(scale)),
        "theta_location": overall(mean, variance),
        "theta": overall(theta, theta_variance),
    }
    return Quadrature(scale, probability, moments)
