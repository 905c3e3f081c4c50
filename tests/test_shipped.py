"""What ships is sound: its sampling passed, its model has not changed since, and the simulated one found its truth."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_atlas import load_posterior
from bayes_atlas.catalogue import posterior_names
from bayes_atlas.fitting import is_stale
from bayes_atlas.simulate import SIMULATIONS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("name", posterior_names())
def test_shipped_posteriors_are_sound(name):
    posterior = load_posterior(name)
    assert [check.name for check in posterior.failed_checks] == []
    assert not is_stale(posterior)
    assert posterior.info.title


@pytest.mark.parametrize("name", [name for name in posterior_names() if "simulated" in name])
def test_a_simulated_posterior_says_so_and_found_its_truth(name):
    posterior = load_posterior(name)
    assert "simulated" in posterior.info.title.lower()
    spec = importlib.util.spec_from_file_location("recovery", BENCHMARKS / "recovery.py")
    assert spec is not None and spec.loader is not None
    recovery = importlib.util.module_from_spec(spec)
    sys.modules["recovery"] = recovery
    spec.loader.exec_module(recovery)
    found = recovery.inside(posterior, SIMULATIONS[posterior.info.law](posterior.info.sampling.seed).truth)
    results = [result for of_parameter in found.values() for result in of_parameter]
    assert np.mean(results) >= 0.8
