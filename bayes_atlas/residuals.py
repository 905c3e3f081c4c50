"""What the likelihood in JAX and predictions in NumPy agree on: the tails of the noise, and which sizes are one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc

# Heavy enough that a failed run is ignored, light enough that the predictive has a variance. Left free it falls to 1-2
# wherever the law misfits, and the predictive with it.
NU = 4.0
SUSPECT = 0.3  # weight of a run, near 1 where it follows the law, below which the law cannot account for it
SAME_SIZE = 0.02  # models, and data sets, whose sizes are this close, in logs, have the same size


def size_step(sizes: ArrayLike) -> NDArray[np.float64]:
    """Number of the step of `SAME_SIZE`, in logs, that each of `sizes` (> 0) falls on."""
    return np.round(np.log(np.asarray(sizes, dtype=float)) / SAME_SIZE)


def suspects(names: ArrayLike, weights: ArrayLike) -> dict[str, float]:
    """Runs that the law cannot account for, by how little they count: those whose weight is below `SUSPECT`.

    Args:
        names: of the runs.
        weights: ``(run,)`` how much each counts in the mean of the draws; see `bayes_atlas.noise`.
    """
    labels, each = np.asarray(names), np.asarray(weights, dtype=float)
    return {str(labels[at]): float(each[at]) for at in np.argsort(each) if each[at] < SUSPECT}


def suspects_by_noise(rows: ArrayLike) -> float:
    """How many runs with so many `rows` ``(run,)`` are expected among `suspects` if all follow the law."""
    count = np.asarray(rows, dtype=float)
    # The mean square of a run's residuals, in units of its noise, is F-distributed.
    return float(np.sum(fdtrc(count, NU, ((NU + count) / SUSPECT - NU) / count)))


@dataclass(frozen=True)
class SizeGroups:
    """Curves that share a size effect: of one model size and, where a language has several data sets, of one of these.

    Data sets are counted by rank within a language, so that languages share the effect of a model size.
    """

    levels: dict[object, NDArray[np.float64]]  # language -> steps of the sizes of its data sets, ascending
    keys: NDArray[np.float64]  # (2, group) step of the model size, and rank of the data set

    @classmethod
    def of(cls, params: ArrayLike, unique: ArrayLike, language: NDArray[np.generic]) -> "SizeGroups":
        """Group curves by sizes `params`, `unique` tokens (inf: never repeated) and `language`, each ``(run,)``."""
        steps = size_step(unique)
        levels = {name: np.unique(steps[language == name]) for name in np.unique(language)}
        return cls(levels, np.unique(_keys(params, unique, language, levels), axis=1))

    def find(self, params: ArrayLike, unique: ArrayLike, language: NDArray[np.generic]) -> NDArray[np.int64]:
        """The group of each of these curves, or -1 where it has a size that no curve of a group has; ``(run,)``."""
        number = {tuple(key): index for index, key in enumerate(self.keys.T.tolist())}
        keys = _keys(params, unique, language, self.levels)
        return np.array([number.get(tuple(key), -1) for key in keys.T.tolist()], dtype=np.int64)


def _keys(
    params: ArrayLike, unique: ArrayLike, language: NDArray[np.generic], levels: dict[object, NDArray[np.float64]]
) -> NDArray[np.float64]:
    steps = size_step(unique)
    rank = np.full(len(steps), -1.0)
    for name, known in levels.items():
        own = (language == name) & np.isin(steps, known)
        rank[own] = np.searchsorted(known, steps[own])
    return np.stack([size_step(params), rank])
