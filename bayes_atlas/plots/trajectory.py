"""Figures of trajectories over the budget."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from bayes_atlas.decisions.summary import levels
from bayes_atlas.decisions.trajectory import Trajectory
from bayes_atlas.plots.figure import BAND, LABELS, colours_for, finish, new_axes

NAMES = 15  # in a column of the legend


def trajectories(
    paths: Mapping[str, Trajectory],
    quantity: Literal["params", "tokens", "loss", "epochs"] = "params",
    *,
    probability: float = 0.9,
    axes: Axes | None = None,
) -> Axes:
    """Draw compute-optimal size, data or loss over budgets, one band per name (Longpre et al. 2025, Fig. 1)."""
    axes = axes or new_axes()[0]
    for colour, (name, path) in zip(colours_for(len(paths)), paths.items(), strict=True):
        lower, median, upper = np.quantile(path.quantities[quantity], levels(probability), axis=0)
        axes.fill_between(path.compute, lower, upper, color=colour, alpha=BAND, linewidth=0)
        axes.plot(path.compute, median, color=colour, label=name)
    axes.set(xscale="log", xlabel="compute (FLOPs)", ylabel=LABELS[quantity])
    if quantity != "loss":
        axes.set_yscale("log")
    if len(paths) > 1:
        columns = -(-len(paths) // NAMES)
        axes.legend(frameon=False, ncols=columns, fontsize="medium" if columns == 1 else "xx-small")
    return finish(axes)
