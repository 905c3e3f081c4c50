"""Figures of the plan to act on."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes

from bayes_atlas.decisions.bayes_action import Action, reducible
from bayes_atlas.decisions.summary import levels
from bayes_atlas.plots.figure import BAND, COLOURS, finish, new_axes


def trade_off(action: Action, *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Draw regret against size at the same budget, and the plan to act on.

    Regret is the loss above each draw's own best plan. The shaded sizes have an expected loss as good as the plan's.
    """
    axes = axes or new_axes()[0]
    asked = action.problem
    tokens = action.tokens * np.exp(np.linspace(-2.5, 2.5, 161))
    tokens = np.unique(asked.within_limits(tokens, action.compute))
    sizes = asked.size(tokens, action.compute)
    best = reducible(asked, action.params, action.tokens) - action.regret
    above = reducible(asked, sizes[:, None], tokens[:, None]) - best
    lower, median, upper = np.quantile(above, levels(probability), axis=1)
    axes.axvspan(*action.near_params, color="0.88", linewidth=0, label="as good, within 0.1 % of loss")
    axes.fill_between(sizes, lower, upper, color=COLOURS[0], alpha=BAND, linewidth=0)
    axes.plot(sizes, median, color=COLOURS[0], label="regret, median and band")
    axes.plot(sizes, above.mean(axis=1), color=COLOURS[0], linestyle=":", label="regret, mean")
    axes.axvline(action.params, color=COLOURS[1], label="plan to act on")
    axes.set(xscale="log", xlabel="parameters N at the same budget", ylabel="loss above the best", ylim=(0, None))
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return finish(axes)


def regret(actions: Mapping[str, Action], *, axes: Axes | None = None) -> Axes:
    """Draw the distribution of regret: probability of a larger regret than on the axis, one curve per plan."""
    axes = axes or new_axes()[0]
    for style, colour, (name, action) in zip(cycle(("-", "--", ":")), COLOURS, actions.items(), strict=False):
        descending = np.sort(action.regret)[::-1]
        exceeding = (1 + np.arange(len(descending))) / len(descending)
        axes.plot(descending, exceeding, color=colour, linestyle=style, label=name)
    most = max(float(np.quantile(action.regret, 0.995)) for action in actions.values())
    axes.set(xlabel="regret: loss above the best plan", ylabel="probability of more", xlim=(0, most), ylim=(0, 1))
    axes.legend(frameon=False)
    return finish(axes)
