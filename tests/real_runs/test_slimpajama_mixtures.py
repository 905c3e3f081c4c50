"""The largest table of runs: mixtures of seven domains, with checkpoints."""

import numpy as np
import pytest

from bayes_atlas import fit, read_runs

pytestmark = pytest.mark.large


@pytest.mark.slow
def test_an_eighth_of_the_mixtures_is_fitted_with_passing_checks(data_folder):
    """With the settings of the posterior that ships, which has all rows and took half an hour."""
    runs = read_runs(data_folder / "slimpajama_mixtures.csv")
    names = np.unique(runs["run"].to_numpy())
    eighth = runs.isel(row=np.isin(runs["run"].to_numpy(), names[::8]))
    posterior = fit(eighth, "atlas", sources=6, burn_in=True, law_error=False)
    assert posterior.info.runs.rows == eighth.sizes["row"] > 2000
    assert not posterior.failed_checks
