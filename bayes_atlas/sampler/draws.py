"""Draws of a posterior, and the checks that they do not pass."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draws:
    """Draws of a posterior, and the statistics of their sampling. All arrays start with (chain, draw)."""

    sites: dict[str, np.ndarray]
    dims: dict[str, list[str]]  # dims of each site, after chain and draw
    log_likelihood: np.ndarray  # (chain, draw, run)
    stats: dict[str, np.ndarray]
    target_accept: float  # target acceptance of the attempt that gave these draws
    blamed: list[tuple[str, tuple[int, ...]]]  # sites and indices in which diverging draws differ most, worst first
    interrupted: bool  # whether there are fewer draws than requested
    attempts: int = 1  # how often the sampler was adapted; the draws are those of one attempt
    dropped: int = 0  # draws per chain of other attempts
    ended: str = ""  # the limit that ended the run before its checks passed


@dataclass(frozen=True)
class Missing:
    """A check that draws do not pass."""

    check: str
    where: str  # parameter or chain
    longer: float  # how many times as many draws would pass it; infinite if more draws alone would not help

    def __str__(self) -> str:
        return f"{self.check} at {self.where}" if self.where else self.check
