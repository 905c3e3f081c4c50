"""A posterior's data come back from its groups as they were fitted, for every kind of table."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.data.transfer_scores import scores_from_frame
from bayes_atlas.observations.crossings import KIND as CROSSINGS
from bayes_atlas.observations.crossings import arrange_crossings
from bayes_atlas.observations.curves import KIND as RUNS
from bayes_atlas.observations.curves import arrange
from bayes_atlas.observations.normal_prior import Prior
from bayes_atlas.observations.pairs import KIND as PAIRS
from bayes_atlas.observations.pairs import arrange_pairs

ASKED = ("params", "tokens", "unique", "source_tokens", "source_unique", "other_tokens", "other_unique", "curves")


def stored(data, curves):
    """Groups ``constant_data`` and ``observed_data`` of a posterior of `data`."""
    described, dims = data.stored(np.zeros((1, 2, curves)))
    coords = {name: values for name, values in data.coords.items() if values}
    tree = az.from_dict(described, coords=coords, dims=dims)
    return tree["constant_data"].to_dataset(), tree["observed_data"].to_dataset()


def assert_same(restored, original):
    """Arrays, or tuples of arrays and None."""
    if original is None:
        assert restored is None
    elif isinstance(original, tuple):
        for one, other in zip(restored, original, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(restored, original)


@pytest.mark.parametrize("checkpoints", [1, 3])
@pytest.mark.parametrize("repeats", [False, True])
def test_runs(checkpoints, repeats):
    """With checkpoints and without, the last of one missing; repeated or not; with a prior of tau."""
    rows = []
    for run, (language, other) in enumerate([("en", "sw"), ("sw", "en"), ("sw", "en")]):
        for step in range(checkpoints - (run == 2 and checkpoints > 1)):
            tokens = {f"tokens.{language}": 1e9 * 2**step, f"tokens.{other}": 5e8 * 2**step}
            rows.append(
                {"run": f"r{run}", "language": language, "params": 1e8 * 4**run, "loss": 3 - step / 10} | tokens
            )
    table = pd.DataFrame(rows).assign(**({"unique.sw": 6e8} if repeats else {}))
    data = arrange(runs_from_frame(table, "runs.csv"), ASKED, sources=1)
    prior = Prior(np.array([[True], [False]]), np.array([[0.1], [0.0]]), np.array([[0.05], [1.0]]))
    data.covariates["tau_prior"] = prior
    given = {name: values is not None for name, values in data.covariates.items()}
    covariates, loss = RUNS.restore(*stored(data, 3), given)
    assert set(covariates) == set(data.covariates)
    for name, values in data.covariates.items():
        assert_same(covariates[name], values)
    observed = data.curves.observed
    np.testing.assert_array_equal(loss[observed], data.loss[observed])


@pytest.mark.parametrize("error", [None, 0.05])
def test_scores(error):
    pairs = [("en", "sw", 0.1), ("sw", "en", -0.2), ("fr", "en", 0.3)]
    table = pd.DataFrame(pairs, columns=["source", "target", "score"]).assign(**({"error": error} if error else {}))
    data = arrange_pairs(scores_from_frame(table, "scores.csv"))
    covariates, score = PAIRS.restore(*stored(data, 3), {"pairs": True})
    assert_same(covariates["pairs"], data.pairs)
    np.testing.assert_array_equal(score, data.score)


def test_crossovers():
    columns = {"params": [1e9, 4e9, 2e9], "crossover": [1e11, 3e11, 2e11], "error": [0.1, 0.2, 0.1]}
    table = xr.Dataset({name: ("row", values) for name, values in columns.items()})
    data = arrange_crossings(table.assign_coords(language=("row", ["en", "sw", "all"])))
    covariates, log_tokens = CROSSINGS.restore(*stored(data, 3), {"crossings": True})
    assert_same(covariates["crossings"], data.covariates["crossings"])
    np.testing.assert_array_equal(log_tokens, data.log_tokens)
