"""The largest table: 16,843 rows of mixtures."""

import pytest

from bayes_atlas import fit, read_runs

pytestmark = pytest.mark.large


@pytest.mark.slow
def test_all_rows_of_the_mixtures_are_fitted_with_passing_checks(data_folder):
    """As the posterior that ships, at the default lengths of chains: half an hour on two cores that do nothing else."""
    options = {"sources": 6, "burn_in": True, "law_error": False}
    posterior = fit(read_runs(data_folder / "slimpajama_mixtures.csv"), "atlas", **options)
    assert posterior.info.runs.rows == 16_843
    assert not posterior.failed_checks
