"""Runs that the law cannot account for, and the tails of the noise that they stand out from."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

# Heavy enough that a failed run is ignored, light enough that the predictive has a variance. Left free it falls to 1-2
# wherever the law misfits, and the predictive with it.
NU = 4.0
SUSPECT = 0.3  # weight of a run, near 1 where it follows the law, below which the law cannot account for it


def suspects(names: ArrayLike, weights: ArrayLike) -> dict[str, float]:
    """Runs that the law cannot account for, by how little they count: those whose weight is below `SUSPECT`.

    Args:
        names: of the runs.
        weights: ``(run,)`` how much each counts in the mean of the draws; see `bayes_atlas.modelling.curve_noise`.
    """
    labels, each = np.asarray(names), np.asarray(weights, dtype=float)
    return {str(labels[at]): float(each[at]) for at in np.argsort(each) if each[at] < SUSPECT}


def suspects_by_noise(rows: ArrayLike) -> float:
    """How many runs with so many `rows` ``(run,)`` are expected among `suspects` if all follow the law."""
    count = np.asarray(rows, dtype=float)
    # The mean square of a run's residuals, in units of its noise, is F-distributed.
    return float(np.sum(fdtrc(count, NU, ((NU + count) / SUSPECT - NU) / count)))
