"""Figures of decisions. Each function draws on given axes or on new ones, and returns the axes.

Bands have the stated posterior probability; lines are medians. No figure changes pyplot's global state.
"""

from bayes_atlas.plots.crossover import crossovers
from bayes_atlas.plots.draw import draw
from bayes_atlas.plots.expand import iso_loss
from bayes_atlas.plots.figure import check_target, new_axes, save
from bayes_atlas.plots.mixture import gains, shares
from bayes_atlas.plots.optimum import regret, trade_off
from bayes_atlas.plots.review import pit, predictives
from bayes_atlas.plots.tax import tax
from bayes_atlas.plots.trajectory import trajectories
from bayes_atlas.plots.transfer_map import heatmap

__all__ = [
    "check_target",
    "crossovers",
    "draw",
    "gains",
    "heatmap",
    "iso_loss",
    "new_axes",
    "pit",
    "predictives",
    "regret",
    "save",
    "shares",
    "tax",
    "trade_off",
    "trajectories",
]
