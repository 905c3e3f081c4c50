"""The 245 runs of Hoffmann et al. (2022): what the issue of the first release asks of their fit."""

import numpy as np
import pytest

from bayes_atlas import fit, optimum, read_runs

# Besiroglu et al. (2024), bootstrap intervals.
PUBLISHED = {"E": (1.769, 1.871), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}


@pytest.fixture(scope="module")
def chinchilla(data_folder):
    return fit(read_runs(data_folder / "chinchilla.csv"), "chinchilla", warmup=600, draws=500)


def test_chinchilla_agrees_with_the_published_fit_with_outliers_kept(chinchilla):
    assert not chinchilla.failed_checks
    drawn = chinchilla.parameters("en")
    for name, (lower, upper) in PUBLISHED.items():
        ours = np.quantile(drawn[name], [0.05, 0.95])
        assert ours[0] < upper
        assert lower < ours[1]
    assert 0.33 < np.median(drawn["beta"]) < 0.42


def test_chinchilla_optimum_holds_the_published_ratio(chinchilla):
    ratio = optimum(chinchilla, compute=5.88e23).summary(0.9)["tokens_per_param"]
    assert ratio["lower"] < 25.7 < ratio["upper"]
