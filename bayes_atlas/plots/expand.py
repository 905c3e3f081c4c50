"""Figures of growth to more languages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, StrMethodFormatter

from bayes_atlas.decisions.expand import Frontier

if TYPE_CHECKING:
    pass
from bayes_atlas.plots.figure import BAND, colours_for, finish, new_axes


def iso_loss(frontiers: Sequence[Frontier], *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Draw growths at equal loss with r times as many languages, and the cheapest path (ibid., Fig. 5).

    A curve starts at the smallest size that is feasible in the median draw.
    """
    axes = axes or new_axes()[0]
    for colour, frontier in zip(colours_for(len(frontiers)), frontiers, strict=True):
        lower, median, upper = frontier.band("tokens_factor", probability)
        sizes = frontier.params_factor
        top = 2 * float(np.max(median[np.isfinite(median)], initial=1.0))
        feasible = np.isfinite(lower)
        axes.fill_between(
            sizes[feasible], lower[feasible], np.minimum(upper[feasible], top), color=colour, alpha=BAND, linewidth=0
        )
        shown = np.isfinite(median)
        axes.plot(sizes[shown], median[shown], color=colour, label=f"{frontier.expansion.factor:g} x languages")
        axes.plot(*_cheapest(frontier), "o", color=colour, markersize=6, zorder=4)
    points = [_cheapest(frontier) for frontier in frontiers]
    if frontiers[0].expansion.start is None:
        points.insert(0, (1.0, 1.0))
    axes.plot(*np.transpose(points), "k--", linewidth=1.2, label="least compute", zorder=3)
    _, tokens = np.transpose(points)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="model size, factor on N",
        ylabel="training tokens of all languages, factor on D",
        ylim=(0.6 * tokens.min(), 3 * tokens.max()),
    )
    axes.legend(frameon=False, loc="upper right")
    _plain_ticks(axes)
    return finish(axes)


def _cheapest(frontier: Frontier) -> tuple[float, float]:
    growth = frontier.expansion
    return float(np.median(growth.params_factor)), float(np.median(growth.tokens_factor))


def _plain_ticks(axes: Axes) -> None:
    """Write factors as plain numbers."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=2))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.minorticks_off()
