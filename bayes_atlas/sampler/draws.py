"""What was sampled."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draws:
    """What was sampled. All arrays start with (chain, draw)."""

    sites: dict[str, np.ndarray]
    dims: dict[str, list[str]]  # of each site, after chain and draw
    log_likelihood: np.ndarray  # (chain, draw, run)
    stats: dict[str, np.ndarray]
    target_accept: float  # of the attempt that gave them
    blamed: list[tuple[str, tuple[int, ...]]]  # sites and indices that set diverging draws apart, worst first
    interrupted: bool  # whether there are fewer draws than were asked for
