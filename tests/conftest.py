import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.folder.info import Check, Info, Runs, Sampling, Staleness
from bayes_atlas.posterior import Posterior

LARGEST_CACHE = 1e9  # bytes

# Files that take a minute or more of one core, dearest first: workers start them in this order, so that none of them
# is left to one worker at the end. pytest's ``--durations`` shows what is dear now.
DEAREST = (
    "real_runs/test_slimpajama_mixtures.py",
    "real_runs/test_pretrain_vs_finetune_bytes.py",
    "models/test_models.py",
    "inference/test_fit.py",
    "validation/test_held_out.py",
    "test_readme.py",
    "models/test_crossover.py",
    "benchmarks/test_holdout.py",
    "benchmarks/test_sbc.py",
    "models/test_transfer.py",
    "validation/test_loo.py",
    "real_runs/test_datablations.py",
    "sampler/test_driver.py",
    "inference/test_tau_prior.py",
    "models/test_bilingual.py",
    "validation/test_review.py",
    "sampler/test_program.py",
    "sampler/test_platforms.py",
    "sampler/test_handlers.py",
    "laws/test_slopes.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Share one compilation cache between all workers and subprocesses of a run, through their environment.

    It is kept for later runs beside the cache of fits (``~/.cache/bayes-atlas/tests``), is safe to delete, and is
    emptied when it has grown beyond `LARGEST_CACHE`. ``JAX_COMPILATION_CACHE_DIR`` names another. Tests of the cache
    itself have their own.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers inherit it
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "bayes-atlas" / "tests"
        if folder.exists() and sum(path.stat().st_size for path in folder.iterdir()) > LARGEST_CACHE:
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # What fits ask for. A process that had started jax with other devices would compile other programs.
    os.environ["JAX_NUM_CPU_DEVICES"] = str(len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Dearest files first; the others, and tests within a file, stay in order."""
    rank = {str(Path(__file__).parent / name): number for number, name in enumerate(DEAREST)}
    items.sort(key=lambda item: rank.get(str(item.path), len(rank)))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real run tables, which do not ship."""
    folder = os.environ.get("BAYES_ATLAS_DATA")
    if not folder:
        pytest.skip("needs the real run tables: set BAYES_ATLAS_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def erring_posterior(tiny_posterior_once: Posterior) -> Posterior:
    """A posterior of the Chinchilla law for en with errors of the law, learned from 60 simulated runs."""
    from tests.law_error.studies import posterior_of, study

    return posterior_of(study(0, kappa=0.2, log_q=0.4), tiny_posterior_once)


@pytest.fixture
def tiny_posterior(tiny_posterior_once: Posterior) -> Posterior:
    """A posterior of the Chinchilla law for en and sw, made by hand: 2 chains of 50 draws, all checks passed."""
    return tiny_posterior_once


@pytest.fixture(scope="session")
def tiny_posterior_once() -> Posterior:
    """Make `tiny_posterior`."""
    rng = np.random.default_rng(0)
    dims, shape = ("chain", "draw", "language"), (2, 50, 2)
    centres = {"E": 1.7, "A": 0.5, "B": 0.6, "alpha": 0.34, "beta": 0.28}
    parameters = {
        name: (dims, (centre * np.exp(0.05 * rng.normal(size=shape))).astype(np.float32))
        for name, centre in centres.items()
    }
    coords = {"chain": [0, 1], "draw": np.arange(50), "language": ["en", "sw"]}
    stats = {
        "energy": (dims[:2], rng.normal(size=shape[:2]).astype(np.float32)),
        "diverging": (dims[:2], np.zeros(shape[:2], dtype=bool)),
        "tree_depth": (dims[:2], np.full(shape[:2], 4)),
    }
    return Posterior(
        draws=xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset(parameters, coords),
                "sample_stats": xr.Dataset(stats, {name: coords[name] for name in dims[:2]}),
            }
        ),
        info=Info(
            title="Made by hand",
            model="chinchilla",
            model_sha256="0" * 64,
            law="chinchilla",
            languages=["en", "sw"],
            sources={"en": [], "sw": []},
            references={"en": {"params": 1e9, "tokens": 2e10}, "sw": {"params": 1e9, "tokens": 1e9}},
            runs=Runs(
                name="hand.csv",
                sha256="1" * 64,
                rows=12,
                curves=12,
                left_out={},
                ranges={"params": (1e8, 1e10), "tokens": (1e9, 1e11), "compute": (1e18, 1e22), "epochs": (1.0, 1.0)},
            ),
            sampling=Sampling(
                chains=2,
                warmup=100,
                draws=50,
                kept=50,
                seed=0,
                target_accept=0.9,
                max_tree_depth=10,
                platform="cpu",
                seconds=1.5,
            ),
            checks=[
                Check(name="r_hat_below_1_01", passed=True, value=1.002, limit=1.01, where="alpha[sw]", advice="wait"),
                Check(name="no_divergences", passed=True, value=0.0, limit=0.0, where="", advice="smaller steps"),
            ],
            staleness=Staleness(
                draws=[(0, 0)],
                log_density=[-12.5],
                covariates={"params": True, "tokens": True},
                sources=0,
                sizes=3,
                repeated=False,
                epochs=False,
            ),
            versions={"bayes-atlas": "0.1.0"},
            created=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        ),
        name="this posterior",
    )
