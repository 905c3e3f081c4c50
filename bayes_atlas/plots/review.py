"""Figures of the review of a fit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

if TYPE_CHECKING:
    from bayes_atlas.validation.review import PredictedRows
from bayes_atlas.plots.figure import BAND, COLOURS, colours_for, finish, new_axes

ROOM = 1.1  # height of a figure relative to its interval
INNER = 0.8  # opacity of the inner band


def pit(predictive: "PredictedRows", *, axes: Axes | None = None) -> Axes:
    """Draw the ECDF of PIT values of every run's last row, minus the uniform ECDF, with its simultaneous band."""
    axes = axes or new_axes()[0]
    points = np.linspace(0, 1, 501)
    pit = np.sort(predictive.pit[predictive.last])
    axes.axhspan(-predictive.band, predictive.band, color="0.6", alpha=BAND, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.plot(points, np.searchsorted(pit, points, side="right") / len(pit) - points, color=COLOURS[0])
    axes.set(xlim=(0, 1), xlabel="PIT of the last rows of runs", ylabel="ECDF minus uniform")
    return finish(axes)


def predictives(
    predictives: Mapping[str, "PredictedRows"], *, probability: float = 0.9, axes: Axes | None = None
) -> Axes:
    """Draw the predictive interval of every row as a multiple of the observation, by name of the predictive.

    Rows are sorted by observation. The narrowest predictive fills the height, and others exceed it. If an observation
    is not above 0, differences are drawn instead of multiples.
    """
    axes = axes or new_axes()[0]
    first = next(iter(predictives.values()))
    order = np.argsort(first.observed)
    observed, ranks = first.observed[order], np.arange(1, len(order) + 1)
    multiple = observed.min() > 0
    ends = [(1 - probability) / 2, (1 + probability) / 2]
    reaches = []
    for colour, (name, predictive) in zip(colours_for(len(predictives)), predictives.items(), strict=True):
        lower, upper = np.nanquantile(predictive.draws[order], ends, axis=1, method="nearest")  # some are infinite
        lower, upper = (end / observed if multiple else end - observed for end in (lower, upper))
        band = axes.fill_between(ranks, lower, upper, color=colour, alpha=BAND, linewidth=0, label=name, step="mid")
        reaches.append((np.median(upper - lower), lower.min(), upper.max(), band))
    line = 1.0 if multiple else 0.0
    axes.axhline(line, color="black", linewidth=1, label="observed")
    _, lowest, highest, narrowest = min(reaches, key=lambda reach: np.nan_to_num(reach[0], nan=np.inf))
    narrowest.set_alpha(INNER)
    below, above = min(lowest, line) - line, max(highest, line) - line
    if np.isfinite([below, above]).all() and below < above:
        axes.set_ylim(line + ROOM * below - (ROOM - 1) * above, line + ROOM * above - (ROOM - 1) * below)
    what = f"predicted {first.quantity} / observed" if multiple else f"predicted {first.quantity} - observed"
    axes.set(xlabel="rows, sorted by observation", ylabel=what)
    axes.legend(frameon=False)
    return finish(axes)
