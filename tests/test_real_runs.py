"""What the issue of the first release asks of fits to real runs; needs the run tables of others."""

import numpy as np
import pytest

from bayes_atlas import find_crossover, fit, optimum, read_runs
from bayes_atlas.decisions.crossover import outlying

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


def test_datablations_leave_repetition_wide_open(data_folder):
    """The published R_D* of 15.4 lies inside, and so does much that is far from it: see posteriors/README.md."""
    runs = read_runs(data_folder / "datablations.csv")
    posterior = fit(runs, "data_constrained", warmup=2000, draws=2000)
    assert not posterior.failed_checks
    lower, upper = np.quantile(posterior.parameters("en")["R_D"], [0.05, 0.95])
    assert lower < 15.4
    assert upper > 40  # 50.6 as shipped; the tail is flat, so that another machine's draws may end elsewhere
    assert upper > 3 * lower


@pytest.mark.slow
def test_all_rows_of_the_mixtures_are_fitted_with_passing_checks(data_folder):
    posterior = fit(read_runs(data_folder / "slimpajama_mixtures.csv"), "atlas", warmup=600, draws=500)
    assert posterior.info.runs.rows == 16_843
    assert not posterior.failed_checks


@pytest.fixture(scope="module")
def bytes_runs(data_folder):
    return read_runs(data_folder / "pretrain_vs_finetune_bytes.csv")


@pytest.fixture(scope="module")
def byte_models(bytes_runs):
    return fit(bytes_runs, "crossover", draws=2000)


@pytest.mark.slow
def test_checkpoints_of_byte_models_are_overtaken_where_the_runs_say(byte_models):
    """Between 6e9 and 1.8e10 bytes from en and zh; from ru not reached, or at the very end."""
    assert not byte_models.failed_checks
    inside = []
    for checkpoint in ("en", "zh"):
        for language in set(byte_models.info.languages) - {checkpoint}:
            found = find_crossover(byte_models, params=65.8e6, language=language, checkpoint=checkpoint, unique=6e9)
            inside.append(6e9 < np.median(found.tokens) < 1.8e10)
    assert np.mean(inside) > 0.8
    for language in ("ar", "de", "en"):
        found = find_crossover(byte_models, params=65.8e6, language=language, checkpoint="ru", unique=6e9)
        assert found.probability_none > 0.6


@pytest.mark.slow
def test_the_failed_byte_model_is_flagged_and_moves_nothing(byte_models, bytes_runs):
    failed = "es_scratch_6000000000"
    assert f"{failed}:es" in outlying(byte_models)
    without = fit(bytes_runs.isel(row=bytes_runs["run"].to_numpy() != failed), "crossover", draws=2000)
    assert not without.failed_checks
    for language in byte_models.info.languages:
        kept, left = (posterior.parameters(language) for posterior in (byte_models, without))
        for name in ("E", "B", "beta", "lam", "late", "delta", "D_0"):
            before, after = np.log(kept[name]), np.log(left[name])
            moved = abs(before.mean(axis=0) - after.mean(axis=0))
            assert (moved < after.std(axis=0)).all(), (language, name)
