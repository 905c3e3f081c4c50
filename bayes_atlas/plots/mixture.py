"""Figures of mixtures."""

import numpy as np
from matplotlib.axes import Axes

from bayes_atlas.decisions.mixture import Mixture
from bayes_atlas.decisions.summary import levels
from bayes_atlas.plots.figure import COLOURS, colours_for, finish, new_axes


def shares(found: Mixture, *, axes: Axes | None = None) -> Axes:
    """Draw the share of every source in the mixture and in its baselines."""
    axes = axes or new_axes()[0]
    plans = {"chosen": found.plan} | found.baselines
    places, width = np.arange(len(found.plan.shares)), 0.8 / len(plans)
    for index, (colour, (name, plan)) in enumerate(zip(colours_for(len(plans)), plans.items(), strict=True)):
        values = list(plan.shares.values())
        axes.bar(places + width * (index - (len(plans) - 1) / 2), values, width, color=colour, label=name)
    axes.set(ylabel="share of the training tokens")
    axes.set_xticks(
        places,
        list(found.plan.shares),
        rotation=30 if len(places) > 4 else 0,
        ha="right" if len(places) > 4 else "center",
    )
    axes.legend(frameon=False)
    return finish(axes)


def gains(found: Mixture, *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Draw the loss that the mixture saves over each baseline, and the probability that the baseline is worse."""
    axes = axes or new_axes()[0]
    for place, draws in enumerate(found.gains.values()):
        lower, median, upper = np.quantile(draws, levels(probability))
        axes.plot([lower, upper], [place, place], color=COLOURS[0], linewidth=3, alpha=0.5, solid_capstyle="butt")
        axes.plot(median, place, "o", color=COLOURS[0])
        text = f"worse with probability {(draws > 0).mean():.3g}"
        axes.annotate(text, (median, place), (0, 8), textcoords="offset points", ha="center", fontsize=8)
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_yticks(range(len(found.gains)), list(found.gains))
    axes.set(xlabel="loss saved by the chosen mixture", ylim=(len(found.gains) - 0.4, -0.7))
    axes.margins(x=0.25)
    return finish(axes)
