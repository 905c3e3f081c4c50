"""Draws of a posterior."""

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
