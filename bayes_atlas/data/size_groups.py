"""Equality of model and data-set sizes, and groups of curves that share a size effect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME_SIZE = 0.02  # log difference up to which two models, or two data sets, have the same size
# Model sizes have effects of their own, the larger the more sizes there are: none up to the first number, in full from
# the second on. The law itself has three parameters of size, so only the remaining sizes inform the effects. With five
# sizes effects absorb variation that the exponent could explain, and neither is identified.
NO_EFFECT, FULL_EFFECT = 5, 10


def size_step(sizes: ArrayLike) -> NDArray[np.float64]:
    """Return the index of the step that each of `sizes` (> 0) falls on, on a log scale with steps of `SAME_SIZE`."""
    return np.round(np.log(np.asarray(sizes, dtype=float)) / SAME_SIZE)


def size_weight(params: ArrayLike) -> float:
    """Return the weight of effects of sizes, from 0 for few different `params` (> 0) to 1 for many."""
    sizes = len(np.unique(size_step(params)))
    return float(np.clip((sizes - NO_EFFECT) / (FULL_EFFECT - NO_EFFECT), 0.0, 1.0))


@dataclass(frozen=True)
class SizeGroups:
    """Groups of curves that share a size effect.

    Curves of a group have one model size and, if their language has data sets of several sizes, one data set. Data sets
    go by their rank within the language, so that languages share the effect of a model size.
    """

    levels: dict[object, NDArray[np.float64]]  # language -> size steps of its data sets, ascending
    keys: NDArray[np.float64]  # (2, group) step of the model size, and rank of the data set

    @classmethod
    def of(cls, params: ArrayLike, unique: ArrayLike, language: NDArray[np.generic]) -> "SizeGroups":
        """Group curves by sizes `params`, `unique` tokens (inf: never repeated) and `language`, each ``(run,)``."""
        steps = size_step(unique)
        levels = {name: np.unique(steps[language == name]) for name in np.unique(language)}
        return cls(levels, np.unique(_keys(params, unique, language, levels), axis=1))

    def find(self, params: ArrayLike, unique: ArrayLike, language: NDArray[np.generic]) -> NDArray[np.int64]:
        """Return the group of each curve, or -1 if no group has its sizes; ``(run,)``. Arguments are those of `of`."""
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
