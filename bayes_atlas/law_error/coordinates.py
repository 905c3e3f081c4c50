"""Parameters of a law as a vector whose entries may be any number.

E, A and B go as the log of their sum, the logit of A's share of it and the logit of E's share of the rest. Runs
determine the sum sharply even where its parts are open, and a normal distribution of the three then keeps it. Other
parameters go as logs if they are positive, and as they are if not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from bayes_atlas.arrays import Floats

PARTS = ("E", "A", "B")  # of the loss at the reference sizes
LEAST = 1e-12  # share that stands for none
LARGEST = 50.0  # log of a parameter beyond which it counts as this: no law distinguishes more, and none overflows


@dataclass(frozen=True)
class Coordinates:
    """The layout of a vector of parameters."""

    names: list[str]
    counts: list[int]  # entries of each parameter; 0 for a parameter without named sources
    positive: list[bool]

    @classmethod
    def of(cls, *drawn: Mapping[str, Floats]) -> "Coordinates":
        """Lay out parameters ``(draw,)`` or ``(draw, source)``; they are positive if they are so in all of `drawn`."""
        first = drawn[0]
        return cls(
            list(first),
            [0 if values.ndim == 1 else values.shape[1] for values in first.values()],
            [all((each[name] > 0).all() for each in drawn if name in each) for name in first],
        )

    @property
    def labels(self) -> list[str]:
        """A name for each coordinate, such as ``alpha`` or ``tau[0]``; E, A and B name their sum and its shares."""
        return [
            label
            for name, count in zip(self.names, self.counts, strict=True)
            for label in ([name] if count == 0 else [f"{name}[{slot}]" for slot in range(count)])
        ]

    def pack(self, drawn: Mapping[str, Floats]) -> Floats:
        """Return the vectors of some draws, ``(draw, coordinate)``."""
        columns = dict(drawn)
        if all(name in columns for name in PARTS):
            irreducible, size, data = (columns[name] for name in PARTS)
            total, rest = irreducible + size + data, irreducible + data
            shares = (np.clip(part, LEAST, 1 - LEAST) for part in (size / total, irreducible / rest))
            columns |= dict(zip(PARTS, (np.log(total), *map(logit, shares)), strict=True))
        packed = [
            np.log(columns[name]) if positive and name not in PARTS else columns[name]
            for name, positive in zip(self.names, self.positive, strict=True)
        ]
        return np.column_stack(packed)

    def unpack(self, vectors: Floats) -> dict[str, Floats]:
        """Return the parameters of some vectors, ``(draw,)`` or ``(draw, source)``."""
        found, start = {}, 0
        for name, count, positive in zip(self.names, self.counts, self.positive, strict=True):
            part = vectors[:, start] if count == 0 else vectors[:, start : start + count]
            found[name] = np.exp(np.clip(part, -LARGEST, LARGEST)) if positive and name not in PARTS else part
            start += max(count, 1)
        if all(name in found for name in PARTS):
            total, size, irreducible = (
                np.exp(np.clip(found["E"], -LARGEST, LARGEST)),
                expit(found["A"]),
                expit(found["B"]),
            )
            rest = total * (1 - size)
            found |= {"E": rest * irreducible, "A": total * size, "B": rest * (1 - irreducible)}
        return found
