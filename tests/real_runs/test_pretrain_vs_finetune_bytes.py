"""Models of bytes from scratch and from checkpoints: where the runs say that one overtakes the other."""

import numpy as np
import pytest

from bayes_atlas import find_crossover, fit, read_runs
from bayes_atlas.decisions.crossover import outlying

pytestmark = pytest.mark.large


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
