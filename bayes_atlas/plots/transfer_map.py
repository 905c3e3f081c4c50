"""Heat map of transfer scores."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bayes_atlas.decisions.transfer_map import TOP, TransferAnswer, TransferMap


def transfer_answer(found: TransferAnswer, *, top: int | None = None, axes: Axes | None = None) -> Axes:
    """Draw the `heatmap` of an answer's map, with boxes for as many sources as the answer counts as the best."""
    return heatmap(found.map, top=found.top if top is None else top, axes=axes)


def heatmap(found: TransferMap, *, top: int = TOP, axes: Axes | None = None) -> Axes:
    """Draw posterior mean scores of pairs, targets in rows, sources in columns (Longpre et al. 2025, Figs. 2 and C.2).

    The size of a cell shows the certainty of its sign: a full cell is almost surely above or below zero. Boxes mark
    sources among the `top` of their target, thick with a probability of at least .9, thin of at least .5.
    """
    count = len(found.languages)
    if axes is None:
        size = 2.2 + 0.24 * count
        axes = Figure(figsize=(size + 0.8, size), layout="constrained").subplots()
    order = found.order()
    mean = found.score.mean(axis=0)[np.ix_(order, order)]
    helps = (found.score > 0).mean(axis=0)[np.ix_(order, order)]
    likely = found.top_probability(top)[np.ix_(order, order)]
    reach = float(np.nanquantile(np.abs(mean), 0.98))
    colours = ScalarMappable(Normalize(-reach, reach), "RdBu")
    for row, column in zip(*np.nonzero(~np.eye(count, dtype=bool)), strict=True):
        side = 0.3 + 0.7 * abs(2 * helps[row, column] - 1)
        corner = (column - side / 2, row - side / 2)
        axes.add_patch(Rectangle(corner, side, side, facecolor=colours.to_rgba(mean[row, column]), linewidth=0))
        if likely[row, column] >= 0.5:
            width = 1.6 if likely[row, column] >= 0.9 else 0.6
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=width))
    names = [found.languages[place] for place in order]
    axes.set_xticks(range(count), names, rotation=90, fontsize=8)
    axes.set_yticks(range(count), names, fontsize=8)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), xlabel="source", ylabel="target", aspect="equal")
    axes.set_facecolor("0.93")
    axes.tick_params(length=0)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(colours, ax=axes, shrink=0.5, label="score, posterior mean", extend="both")
    return axes
