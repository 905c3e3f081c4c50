"""Figures of the compute-efficiency tax."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bayes_atlas.decisions.tax import NEVER, Tax
from bayes_atlas.plots.figure import BAND, colours_for, finish, new_axes


def tax(taxes: Sequence[Tax], *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Draw the factor on compute of a configuration at equal loss with the baseline; dotted if it is not identified."""
    axes = axes or new_axes()[0]
    for colour, each in zip(colours_for(len(taxes)), taxes, strict=True):
        lower, median, upper = np.minimum(each.band(probability), NEVER)
        identified = each.identified(probability)
        axes.fill_between(each.compute, lower, upper, color=colour, alpha=BAND / 2, linewidth=0)
        axes.fill_between(each.compute, lower, upper, where=identified.tolist(), color=colour, alpha=BAND, linewidth=0)
        axes.plot(each.compute, median, color=colour, linestyle=":")
        axes.plot(each.compute, np.where(identified, median, np.nan), color=colour, label=each.configuration)
    axes.axhline(1, color="0.5", linewidth=1)
    if not all(each.identified(probability).all() for each in taxes):
        axes.plot([], [], "k:", label="not identified")
    highest = max(float(each.band(probability)[1].clip(0, NEVER).max()) for each in taxes)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"compute of {taxes[0].baseline} (FLOPs)",
        ylabel="factor on compute for equal loss",
        ylim=(0.3, min(NEVER, 10 * highest)),
    )
    axes.legend(frameon=False)
    return finish(axes)
