"""Tables around a known population: the population is found, and each table's own errors."""

import numpy as np
import pytest
import xarray as xr

from bayes_atlas import fit, load_posterior
from bayes_atlas.law_error.learning import KAPPAS
from bayes_atlas.law_error.population import Population, population

TABLES = 40
KAPPA, SPREAD, LOG_Q, LOG_Q_SPREAD, ERROR = 0.2, 0.3, 0.5, 0.2, 0.1


def evidence(seed=0):
    """An evidence table; what a table shows of log kappa is normal with a standard deviation of .5."""
    rng = np.random.default_rng(seed)
    log_kappa = np.log(KAPPA) + SPREAD * rng.standard_normal(TABLES)
    shown = log_kappa + 0.5 * rng.standard_normal(TABLES)
    known = -0.5 * ((np.log(KAPPAS) - shown[:, None]) / 0.5) ** 2
    log_q = LOG_Q + LOG_Q_SPREAD * rng.standard_normal(TABLES)
    estimate = (log_q + ERROR * rng.standard_normal(TABLES))[:, None] * np.ones(len(KAPPAS))
    grids = {"evidence": known, "log_q": estimate, "error": np.full(known.shape, ERROR)}
    return xr.Dataset(
        {name: (("table", "kappa"), values) for name, values in grids.items()},
        {"table": [f"t{number}" for number in range(TABLES)], "kappa": KAPPAS},
        {"name": "evidence.csv", "sha256": "0" * 64},
    )


@pytest.mark.slow
def test_the_population_is_found():
    """Each true value within 4 posterior standard deviations: one false alarm in ten thousand."""
    posterior = fit(evidence(), "law_error", warmup=1000, draws=1000)
    assert not posterior.failed_checks
    drawn = posterior.drawn("log_kappa_location", "log_q_location", "log_q_scale")
    truth = {"log_kappa_location": np.log(KAPPA), "log_q_location": LOG_Q, "log_q_scale": LOG_Q_SPREAD * 0.8}
    for name, value in truth.items():
        assert abs(drawn[name].mean() - value) < 4 * drawn[name].std()
    assert drawn["log_q_location"].std() < 0.1


def test_the_shipped_population_is_what_it_is_described_as():
    """Nine public tables; kappa of some tenths, and terms that are not additive."""
    posterior = load_posterior("law-error")
    assert len(posterior.info.languages) == 9
    assert not posterior.failed_checks
    known = population()
    assert known.log_q.mean() > 0.2
    assert 0.1 < np.exp(np.median(known.log_kappa)) < 0.4
    spread = np.exp(np.subtract(*np.quantile(known.log_kappa, [0.95, 0.05])))
    assert spread > 5  # the next table may be unlike these


def test_a_prior_of_the_grid_sums_to_one():
    known = Population(np.log([0.2, 0.2, 0.02, 5.0]), np.array([0.0, 0.5, 1.0, 0.4]))
    prior = np.exp(known.log_prior(KAPPAS))
    assert prior.sum() == pytest.approx(1)
    assert KAPPAS[prior.argmax()] in (0.16, 0.25)
    middle, spread = known.normal_log_q
    assert middle == pytest.approx(0.45)
    assert spread > 0
