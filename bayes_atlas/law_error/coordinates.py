"""Parameters of a law as a vector: logs of those that are positive, the others as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayes_atlas.arrays import Floats


@dataclass(frozen=True)
class Coordinates:
    """The layout of a vector of parameters."""

    names: list[str]
    counts: list[int]  # entries of each parameter; 0 for a parameter without named sources
    positive: list[bool]

    @classmethod
    def of(cls, *drawn: Mapping[str, Floats]) -> "Coordinates":
        """Lay out parameters ``(draw,)`` or ``(draw, source)``; those positive in all of `drawn` go as logs."""
        first = drawn[0]
        return cls(
            list(first),
            [0 if values.ndim == 1 else values.shape[1] for values in first.values()],
            [all((each[name] > 0).all() for each in drawn if name in each) for name in first],
        )

    @property
    def labels(self) -> list[str]:
        """A name for each coordinate, such as ``alpha`` or ``tau[0]``."""
        return [
            label
            for name, count in zip(self.names, self.counts, strict=True)
            for label in ([name] if count == 0 else [f"{name}[{slot}]" for slot in range(count)])
        ]

    def pack(self, drawn: Mapping[str, Floats]) -> Floats:
        """Return the vectors of some draws, ``(draw, coordinate)``."""
        columns = [
            np.log(drawn[name]) if positive else drawn[name]
            for name, positive in zip(self.names, self.positive, strict=True)
        ]
        return np.column_stack(columns)

    def unpack(self, vectors: Floats) -> dict[str, Floats]:
        """Return the parameters of some vectors, ``(draw,)`` or ``(draw, source)``."""
        found, start = {}, 0
        for name, count, positive in zip(self.names, self.counts, self.positive, strict=True):
            part = vectors[:, start] if count == 0 else vectors[:, start : start + count]
            found[name] = np.exp(part) if positive else part
            start += max(count, 1)
        return found
