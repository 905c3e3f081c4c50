"""Held-out predictions of transfer scores, of single pairs and of whole languages as targets.

    BAYES_ATLAS_DATA=FOLDER python benchmarks/transfer.py [--folds 10]

The benchmark fits gains in loss between 11 languages (de Souza et al. 2024, ``transfer_bytes_src600M_10ep.csv``). It
first holds out random folds of pairs, one direction at a time, then every target with all its pairs. A fold is the same
table with masked scores, so all folds run in one program. Intervals are those of measured scores, error included.

Before that it fits all scores and compares the posterior mean with them. It prints whether the best source of each
target is the one measured as best, and the correlation between the two directions of a pair.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from bayes_atlas.catalogue import load_model
from bayes_atlas.data.transfer_scores import read_scores
from bayes_atlas.observations.pairs import PairData, arrange_pairs
from bayes_atlas.sampler.driver import sample_many
from bayes_atlas.sampler.platforms import keep_compiled, precision, use_platform
from bayes_atlas.sampler.settings import Settings

MODULE = load_model("transfer")
PROBABILITY = 0.9

type Floats = NDArray[np.float64]


def model(covariates: dict[str, Any], score: Any) -> Any:
    """The model as the sampler calls it."""
    return MODULE.model(**covariates, score=score)


def left_out(data: PairData, hidden: NDArray[np.bool_]) -> tuple[dict[str, Any], Floats]:
    """`data` without the scores that are `hidden` ``(dyad, 2)``."""
    pairs = data.pairs._replace(observed=data.pairs.observed & ~hidden)
    return {"pairs": pairs}, data.score


def folds_of_pairs(data: PairData, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Random parts of all directions, each hidden once."""
    part = np.random.default_rng(seed).permutation(data.score.size).reshape(data.score.shape) % folds
    return [part == fold for fold in range(folds)]


def folds_of_targets(data: PairData) -> list[NDArray[np.bool_]]:
    """Every language as a target hidden once."""
    return [np.asarray(data.pairs.target == target) for target in range(len(data.languages))]


def whole(data: PairData, settings: Settings) -> Floats:
    """Posterior mean of every score given all that were measured: ``(target, source)``."""
    (sampled,) = sample_many(model, [left_out(data, np.zeros_like(data.pairs.observed))], settings)
    sites = {name: values.reshape(-1, *values.shape[2:]) for name, values in sampled.sites.items()}
    keys = jax.random.split(jax.random.PRNGKey(0), len(sites["level"]))
    impute = jax.jit(jax.vmap(lambda key, drawn: MODULE.impute(key, data.pairs, data.score, drawn)["score"]))
    return np.asarray(impute(keys, sites)).mean(axis=0)


def measured(data: PairData) -> Floats:
    """The measured scores ``(target, source)``, NaN where there is none."""
    pairs = data.pairs
    scores = np.full((len(data.languages), len(data.languages)), np.nan)
    scores[pairs.target, pairs.source] = np.where(pairs.observed, data.score, np.nan)
    return scores


def symmetry(scores: Floats) -> float:
    """Correlation of the two directions over all ordered pairs."""
    apart = ~np.eye(len(scores), dtype=bool)
    return float(np.corrcoef(scores[apart], scores.T[apart])[0, 1])


def predicted(data: PairData, folds: Sequence[NDArray[np.bool_]], settings: Settings) -> Floats:
    """Draws ``(draw, dyad, 2)`` of every score as it would be measured, each from the fold that hid it."""
    datasets = [left_out(data, hidden) for hidden in folds]
    found = np.full((settings.chains * settings.round, *data.score.shape), np.nan)
    for fold, (hidden, sampled) in enumerate(zip(folds, sample_many(model, datasets, settings), strict=True)):
        sites = {name: values.reshape(-1, *values.shape[2:]) for name, values in sampled.sites.items()}
        pairs = datasets[fold][0]["pairs"]
        keys = jax.random.split(jax.random.PRNGKey(fold), len(sites["level"]))
        impute = jax.jit(
            jax.vmap(lambda key, drawn, pairs=pairs: MODULE.impute(key, pairs, data.score, drawn)["score"])
        )
        true = np.asarray(impute(keys, sites))[:, pairs.target, pairs.source]
        error = np.random.default_rng(fold).normal(size=true.shape) * sites["noise"][:, None, None]
        found[:, hidden] = (true + error)[:, hidden]
    return found


def scores(data: PairData, draws: Floats) -> dict[str, float]:
    """R2 of the mean, coverage and mean width of the intervals."""
    mean, observed = draws.mean(axis=0), data.score
    lower, upper = np.quantile(draws, [(1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2], axis=0)
    return {
        "r2": 1 - float(((observed - mean) ** 2).sum() / ((observed - observed.mean()) ** 2).sum()),
        "coverage": float(((lower <= observed) & (observed <= upper)).mean()),
        "width": float((upper - lower).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--draws", type=int, default=400)
    arguments = parser.parse_args()
    use_platform("cpu")
    keep_compiled()
    table = Path(os.environ["BAYES_ATLAS_DATA"]) / "transfer_bytes_src600M_10ep.csv"
    with precision("cpu"):
        data = arrange_pairs(read_scores(table))
        settings = Settings(chains=2, warmup=arguments.draws + arguments.draws % 100, draws=arguments.draws)
        found, data_scores = whole(data, settings), measured(data)
        agree = np.nanargmax(found, axis=1) == np.nanargmax(data_scores, axis=1)
        print(
            f"best source of the posterior mean is the measured best: {agree.sum()} of {len(agree)} targets", flush=True
        )
        print(f"corr(M, M^T): posterior mean {symmetry(found):.3f}, measured {symmetry(data_scores):.3f}", flush=True)
        for name, folds in (
            ("pairs", folds_of_pairs(data, arguments.folds, seed=0)),
            ("targets", folds_of_targets(data)),
        ):
            of_folds = scores(data, predicted(data, folds, settings))
            print(
                f"leave {name} out: " + ", ".join(f"{key} {value:.3f}" for key, value in of_folds.items()), flush=True
            )


if __name__ == "__main__":
    main()
