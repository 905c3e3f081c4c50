"""Coverage of the true optimum where the law is wrong, by intervals with and without model error.

Studies are simulated. They have two languages, runs of random size and compute, and noise. Their losses deviate from
the law by one per cent, smoothly over size and tokens. All studies of a case are fitted in one program, and the true
optimum is known. Run from the root of the checkout:

    python -m benchmarks.misfit
"""

import argparse
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from bayes_atlas import Misfit, fit_many, optimum, runs_from_frame, with_misfit
from bayes_atlas.data.outliers import NU
from bayes_atlas.laws import chinchilla

LAW = {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.3, "beta": 0.3}
PARAMS, TOKENS = 1e9, 1e10  # where A and B are what they are
SIGMA = 0.002  # of the noise
BUDGET = 6e19  # in the middle of the runs' (4e18 to 3e20), on which the optimum is sought
LANGUAGES = ("en", "sw")
ROUGH = 1e-6  # variance of what makes the covariance of smooth errors invertible
CASES = ((60, 1.0), (40, 2.0), (20, 1.0), (20, 2.0))  # runs of each language, e-folds over which errors change
PROBABILITY = 0.9

type Floats = NDArray[np.float64]


class Wrong(NamedTuple):
    """Runs of a law that is wrong, and the best log params of each language at `BUDGET`."""

    runs: xr.Dataset
    best: Mapping[str, float]


def law(params: Floats, tokens: Floats) -> Floats:
    """Log loss by the law."""
    return np.log(np.asarray(chinchilla.loss(params / PARAMS, tokens / TOKENS, **LAW)))


def study(seed: int, size: float, length: float = 1.0, runs: int = 60, *, common: bool = False) -> Wrong:
    """Simulate a law that errs by `size`, relatively, smoothly over `length`; both languages alike where `common`."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(1e8), np.log(1e10), 2 * runs))
    compute = 10 ** rng.uniform(18.5, 20.5, 2 * runs)
    tokens = compute / 6 / params
    line = np.linspace(np.log(2e8), np.log(8e9), 161)
    on_line = np.stack([line, np.log(BUDGET / 6) - line], axis=1)
    place = np.concatenate([np.log([params, tokens]).T, on_line])
    covariance = np.exp(-0.5 * cdist(place, place, "sqeuclidean") / length**2)
    root = np.linalg.cholesky(covariance + ROUGH * np.eye(len(place)))
    errors = [size * root @ rng.standard_normal(len(place)) for _ in LANGUAGES]
    errors = [errors[0], errors[0]] if common else errors
    language = np.repeat(LANGUAGES, runs)
    error = np.where(language == LANGUAGES[0], errors[0][: 2 * runs], errors[1][: 2 * runs])
    loss = np.exp(law(params, tokens) + error + SIGMA * rng.standard_t(NU, 2 * runs))
    columns = {"run": np.arange(2 * runs).astype(str), "language": language, "params": params, "tokens": tokens}
    of_law = law(*np.exp(on_line.T))
    best = [float(line[(of_law + each[2 * runs :]).argmin()]) for each in errors]
    return Wrong(
        runs_from_frame(pd.DataFrame(columns | {"loss": loss}), f"study {seed}"),
        dict(zip(LANGUAGES, best, strict=True)),
    )


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=16)
    parser.add_argument("--size", type=float, default=0.01)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=400)
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    sampler = {name: getattr(arguments, name) for name in ("chains", "warmup", "draws")}
    print(f"{'runs':>6}{'e-folds':>9}{'optima':>8}{'if the law holds':>18}{'with its error':>16}{'failed checks':>15}")
    for runs, length in CASES:
        studies = [study(seed, arguments.size, length, runs) for seed in range(arguments.studies)]
        posteriors = fit_many([each.runs for each in studies], "chinchilla", **sampler)
        held = []
        for number, (wrong, posterior) in enumerate(zip(studies, posteriors, strict=True)):
            misfit = Misfit.of(posterior, wrong.runs)
            for language, best in wrong.best.items():
                plain = optimum(posterior, compute=BUDGET, language=language)
                both = (plain, with_misfit(plain, misfit, number))
                ends = [
                    np.quantile(np.log(each.params), [(1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2]) for each in both
                ]
                held.append([lower <= best <= upper for lower, upper in ends])
        plainly, corrected = np.mean(held, axis=0)
        failed = sum(bool(posterior.failed_checks) for posterior in posteriors)
        print(f"{runs:6}{length:9g}{len(held):8}{plainly:18.0%}{corrected:16.0%}{failed:15}", flush=True)


if __name__ == "__main__":
    main()
