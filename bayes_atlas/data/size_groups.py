"""Which sizes of models and data sets are one, and which curves share a size effect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME_SIZE = 0.02  # models, and data sets, whose sizes are this close, in logs, have the same size


def size_step(sizes: ArrayLike) -> NDArray[np.float64]:
    """Number of the step of `SAME_SIZE`, in logs, that each of `sizes` (> 0) falls on."""
    return np.round(np.log(np.asarray(sizes, dtype=float)) / SAME_SIZE)


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
