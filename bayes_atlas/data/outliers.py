"""Outlying runs, and the heavy-tailed noise against which they stand out."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

# Degrees of freedom: tails heavy enough to ignore a failed run, light enough to give the predictive a variance. A free
# NU falls to 1-2 wherever the law misfits, and then the predictive has no variance.
NU = 4.0
SUSPECT = 0.3  # a run with a weight below this is an outlier; the weight is near 1 where a run follows the law


def suspects(names: ArrayLike, weights: ArrayLike) -> dict[str, float]:
    """Return the weights of outlying runs, those below `SUSPECT`, by name and lowest first.

    Args:
        names: ``(run,)`` names of the runs.
        weights: ``(run,)`` posterior mean of each run's weight; see `bayes_atlas.modelling.curve_noise`.
    """
    labels, each = np.asarray(names), np.asarray(weights, dtype=float)
    return {str(labels[at]): float(each[at]) for at in np.argsort(each) if each[at] < SUSPECT}


def suspects_by_noise(rows: ArrayLike) -> float:
    """Return the number of `suspects` to expect if every run follows the law.

    Args:
        rows: ``(run,)`` number of rows of each run.
    """
    count = np.asarray(rows, dtype=float)
    # The mean square of a run's standardised residuals is F-distributed.
    return float(np.sum(fdtrc(count, NU, ((NU + count) / SUSPECT - NU) / count)))
