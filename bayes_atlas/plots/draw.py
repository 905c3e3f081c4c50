"""The figure of each class of decisions, for `Decision.plot`."""

from functools import singledispatch
from typing import Any

from matplotlib.axes import Axes

from bayes_atlas.decisions.base import Decision
from bayes_atlas.decisions.bayes_action import Action
from bayes_atlas.decisions.crossover import Crossover
from bayes_atlas.decisions.expand import Frontier
from bayes_atlas.decisions.mixture import Mixture
from bayes_atlas.decisions.optimum import Optimum
from bayes_atlas.decisions.scenario import Answer
from bayes_atlas.decisions.tax import Taxes
from bayes_atlas.decisions.trajectory import Trajectories, Trajectory
from bayes_atlas.decisions.transfer_map import TransferAnswer, TransferMap
from bayes_atlas.errors import InputError
from bayes_atlas.plots.crossover import crossover_by_size
from bayes_atlas.plots.expand import iso_loss
from bayes_atlas.plots.mixture import shares
from bayes_atlas.plots.optimum import trade_off
from bayes_atlas.plots.tax import tax
from bayes_atlas.plots.trajectory import trajectories
from bayes_atlas.plots.transfer_map import heatmap, transfer_answer


@singledispatch
def draw(decision: Any, *, axes: Axes | None = None, **options: Any) -> Axes:
    """Draw the figure of a decision.

    Args:
        decision: a decision whose class has a figure.
        axes: axes to draw on; by default those of a new figure.
        options: options of the figure's own function, such as `probability`.

    Raises:
        InputError: no figure shows decisions of this class; the message lists those with a figure.
    """
    known = sorted(each.__name__ for each in draw.registry if each is not object)
    raise InputError(f"no figure shows {type(decision).__name__}; draw one of: {', '.join(known)}")


@draw.register
def _optimum(decision: Optimum, *, axes: Axes | None = None, **options: Any) -> Axes:
    return trade_off(decision.action, axes=axes, **options)


@draw.register
def _action(decision: Action, *, axes: Axes | None = None, **options: Any) -> Axes:
    return trade_off(decision, axes=axes, **options)


@draw.register
def _trajectory(decision: Trajectory, *, axes: Axes | None = None, **options: Any) -> Axes:
    return trajectories({decision.language: decision}, axes=axes, **options)


@draw.register
def _trajectories(decision: Trajectories, *, axes: Axes | None = None, **options: Any) -> Axes:
    return trajectories(decision.paths, axes=axes, **options)


@draw.register
def _mixture(decision: Mixture, *, axes: Axes | None = None, **options: Any) -> Axes:
    return shares(decision, axes=axes, **options)


@draw.register
def _answer(decision: Answer, *, axes: Axes | None = None, **options: Any) -> Axes:
    parts: list[Decision | None] = [decision.mixture, decision.optimum]
    answered = [part for part in parts if part is not None]
    if not answered:
        raise InputError("no figure shows the growth of a scenario; draw that of bayes_atlas.frontier")
    return answered[0].plot(axes, **options)


@draw.register
def _frontier(decision: Frontier, *, axes: Axes | None = None, **options: Any) -> Axes:
    return iso_loss([decision], axes=axes, **options)


@draw.register
def _taxes(decision: Taxes, *, axes: Axes | None = None, **options: Any) -> Axes:
    return tax(decision, axes=axes, **options)


@draw.register
def _crossover(decision: Crossover, *, axes: Axes | None = None, **options: Any) -> Axes:
    return crossover_by_size(decision, axes=axes, **options)


@draw.register
def _transfer_map(decision: TransferMap, *, axes: Axes | None = None, **options: Any) -> Axes:
    return heatmap(decision, axes=axes, **options)


@draw.register
def _transfer_answer(decision: TransferAnswer, *, axes: Axes | None = None, **options: Any) -> Axes:
    return transfer_answer(decision, axes=axes, **options)
