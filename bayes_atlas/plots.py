"""Figures of decisions: one function each, which draws on given axes or on new ones and returns them.

Bands hold the stated posterior probability, lines are medians. Nothing here touches pyplot's global state.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, StrMethodFormatter

from bayes_atlas.decisions.action import Action, reducible
from bayes_atlas.decisions.crossover import find_crossover
from bayes_atlas.decisions.expand import Frontier
from bayes_atlas.decisions.mixture import Mixture
from bayes_atlas.decisions.tax import NEVER, Tax
from bayes_atlas.decisions.trajectory import Trajectory
from bayes_atlas.decisions.transfer import TOP, TransferMap
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    from bayes_atlas.checking import PredictedRows

# Okabe and Ito's colours, which people with any colour vision tell apart, without their yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ROOM = 1.1  # height of a figure beside the interval that it is about
BAND = 0.22  # opacity
INNER = 0.8  # of a band inside another
WIDEN = 1.05  # of the sizes that are shaded, so that a single one shows
SUFFIXES = (".svg", ".png", ".pdf")
LABELS = {"params": "parameters N", "tokens": "training tokens D", "loss": "loss", "epochs": "epochs"}


def new_axes(panels: int = 1) -> list[Axes]:
    """Axes side by side on a new figure."""
    figure = Figure(figsize=(5.2 * panels, 4.0), layout="constrained")
    return list(np.ravel(figure.subplots(1, panels)))


def save(axes: Axes, path: str | Path) -> None:
    """Write the figure that `axes` belong to, as SVG, PNG or PDF.

    Raises:
        InputError: `path` ends in none of these.
        OSError: it cannot be written.
    """
    path = check_target(path)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(path, dpi=160)


def check_target(path: str | Path) -> Path:
    """`path`, if a figure can be written under that name.

    Raises:
        InputError: it ends in no suffix of figures.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot draw a figure to {path.name!r}; end its name in {', '.join(SUFFIXES)}")
    return path


def trajectories(
    paths: Mapping[str, Trajectory],
    quantity: Literal["params", "tokens", "loss", "epochs"] = "params",
    *,
    probability: float = 0.9,
    axes: Axes | None = None,
) -> Axes:
    """Compute-optimal size, data or loss over budgets, one band per name (Longpre et al. 2025, Fig. 1)."""
    axes = axes or new_axes()[0]
    for colour, (name, path) in zip(_cycle(len(paths)), paths.items(), strict=True):
        lower, median, upper = np.quantile(path.quantities[quantity], _ends(probability), axis=0)
        axes.fill_between(path.compute, lower, upper, color=colour, alpha=BAND, linewidth=0)
        axes.plot(path.compute, median, color=colour, label=name)
    axes.set(xscale="log", xlabel="compute (FLOPs)", ylabel=LABELS[quantity])
    if quantity != "loss":
        axes.set_yscale("log")
    if len(paths) > 1:
        axes.legend(frameon=False)
    return _finish(axes)


def iso_loss(frontiers: Sequence[Frontier], *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Growths that keep the loss with r times as many languages, and the cheapest path (ibid., Fig. 5).

    A curve starts where a median amount of data keeps the loss; left of that no data do in half of the draws.
    """
    axes = axes or new_axes()[0]
    for colour, frontier in zip(_cycle(len(frontiers)), frontiers, strict=True):
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
        ylabel="training tokens in all, factor on D",
        ylim=(0.6 * tokens.min(), 3 * tokens.max()),
    )
    axes.legend(frameon=False, loc="upper right")
    _plain_ticks(axes)
    return _finish(axes)


def trade_off(action: Action, *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Loss above each draw's own best plan for every size that spends the budget, and the plan to act on.

    The shaded sizes are those whose expected loss is as good as that of the plan.
    """
    axes = axes or new_axes()[0]
    asked = action.training
    tokens = action.tokens * np.exp(np.linspace(-2.5, 2.5, 161))
    tokens = np.unique(asked.within_limits(tokens, action.compute))
    sizes = asked.size(tokens, action.compute)
    best = reducible(asked, action.params, action.tokens) - action.regret
    above = reducible(asked, sizes[:, None], tokens[:, None]) - best
    lower, median, upper = np.quantile(above, _ends(probability), axis=1)
    axes.axvspan(*action.near_params, color="0.88", linewidth=0, label="as good, within 0.1 % of loss")
    axes.fill_between(sizes, lower, upper, color=COLOURS[0], alpha=BAND, linewidth=0)
    axes.plot(sizes, median, color=COLOURS[0], label="regret, median and band")
    axes.plot(sizes, above.mean(axis=1), color=COLOURS[0], linestyle=":", label="regret, mean")
    axes.axvline(action.params, color=COLOURS[1], label="plan to act on")
    axes.set(xscale="log", xlabel="parameters N at the same budget", ylabel="loss above the best", ylim=(0, None))
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _finish(axes)


def regret(actions: Mapping[str, Action], *, axes: Axes | None = None) -> Axes:
    """Probability that a plan loses more than so much against the best plan, one curve per plan."""
    axes = axes or new_axes()[0]
    for style, colour, (name, action) in zip(cycle(("-", "--", ":")), COLOURS, actions.items(), strict=False):
        descending = np.sort(action.regret)[::-1]
        exceeding = (1 + np.arange(len(descending))) / len(descending)
        axes.plot(descending, exceeding, color=colour, linestyle=style, label=name)
    most = max(float(np.quantile(action.regret, 0.995)) for action in actions.values())
    axes.set(xlabel="regret: loss above the best plan", ylabel="probability of more", xlim=(0, most), ylim=(0, 1))
    axes.legend(frameon=False)
    return _finish(axes)


def shares(found: Mixture, *, axes: Axes | None = None) -> Axes:
    """Share of every source in the mixture and in those it was compared with."""
    axes = axes or new_axes()[0]
    plans = {"chosen": found.plan} | found.baselines
    places, width = np.arange(len(found.plan.shares)), 0.8 / len(plans)
    for index, (colour, (name, plan)) in enumerate(zip(_cycle(len(plans)), plans.items(), strict=True)):
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
    return _finish(axes)


def gains(found: Mixture, *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Loss that the mixture saves over each it was compared with, and the probability that it does."""
    axes = axes or new_axes()[0]
    for place, draws in enumerate(found.gains.values()):
        lower, median, upper = np.quantile(draws, _ends(probability))
        axes.plot([lower, upper], [place, place], color=COLOURS[0], linewidth=3, alpha=0.5, solid_capstyle="butt")
        axes.plot(median, place, "o", color=COLOURS[0])
        text = f"worse with probability {(draws > 0).mean():.3g}"
        axes.annotate(text, (median, place), (0, 8), textcoords="offset points", ha="center", fontsize=8)
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_yticks(range(len(found.gains)), list(found.gains))
    axes.set(xlabel="loss saved by the chosen mixture", ylim=(len(found.gains) - 0.4, -0.7))
    axes.margins(x=0.25)
    return _finish(axes)


def tax(taxes: Sequence[Tax], *, probability: float = 0.9, axes: Axes | None = None) -> Axes:
    """Compute that a configuration needs over the baseline's for equal loss; dotted where it is not identified."""
    axes = axes or new_axes()[0]
    for colour, each in zip(_cycle(len(taxes)), taxes, strict=True):
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
    return _finish(axes)


def heatmap(found: TransferMap, *, top: int = TOP, axes: Axes | None = None) -> Axes:
    """Posterior mean score of every pair, target by row and source by column (Longpre et al. 2025, Figs. 2 and C.2).

    A cell is the fuller the surer its sign: it fills its place where the score is surely above or below zero. Boxes
    mark sources that are among the `top` of their target, thick where that has a probability of .9, thin where of .5.
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


def crossovers(
    posterior: Posterior,
    languages: Sequence[str],
    *,
    checkpoint: str | None = None,
    params: tuple[float, float] = (1e8, 1e10),
    points: xr.Dataset | None = None,
    probability: float = 0.9,
    axes: Axes | None = None,
) -> Axes:
    """Compute at which training from scratch overtakes a checkpoint, over sizes (Longpre et al. 2025, Fig. 7).

    Where no crossover is in range for half of the draws, there is no line. `points` are measured crossovers, from
    `read_crossings`, with twice their stated error; those of other languages are grey. Where runs were fitted, their
    sizes are shaded, and lines are dotted beyond.
    """
    axes = axes or new_axes()[0]
    sizes, fitted = np.geomspace(*params, 25), posterior.info.runs.ranges.get("params")
    for colour, language in zip(_cycle(len(languages)), languages, strict=True):
        found = [
            find_crossover(posterior, params=float(size), language=language, checkpoint=checkpoint) for size in sizes
        ]
        drawn = np.stack([6 * size * each.tokens for size, each in zip(sizes, found, strict=True)], axis=1)
        lower, median, upper = np.quantile(drawn, _ends(probability), axis=0, method="lower")
        shown = np.isfinite(median)
        top = np.where(np.isfinite(upper), upper, 10 * median)
        axes.fill_between(sizes[shown], lower[shown], top[shown], color=colour, alpha=BAND, linewidth=0)
        axes.plot(sizes[shown], median[shown], color=colour, label=language, linestyle=":" if fitted else "-")
        if fitted:
            within = shown & (sizes >= fitted[0]) & (sizes <= fitted[1])
            axes.plot(sizes[within], median[within], color=colour)
    if fitted:
        axes.axvspan(fitted[0] / WIDEN, fitted[1] * WIDEN, color="0.93", zorder=0)
    if points is not None:
        names = points["language"].to_numpy()
        flops = 6 * points["params"].to_numpy() * points["crossover"].to_numpy()
        spread = np.exp(2 * points["error"].to_numpy())
        colours = dict(zip(languages, _cycle(len(languages)), strict=True))
        for name, size, at, factor in zip(names, points["params"].to_numpy(), flops, spread, strict=True):
            bars = [[at - at / factor], [at * factor - at]]
            axes.errorbar(size, at, bars, fmt="o", markersize=4, color=colours.get(name, "0.6"), linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="parameters N", ylabel="compute of the crossover (FLOPs)")
    axes.legend(frameon=False)
    return _finish(axes)


def pit(predictive: "PredictedRows", *, axes: Axes | None = None) -> Axes:
    """ECDF of PIT values, less that of uniform ones, of the last row of every run, with its simultaneous band."""
    axes = axes or new_axes()[0]
    points = np.linspace(0, 1, 501)
    pit = np.sort(predictive.pit[predictive.last])
    axes.axhspan(-predictive.band, predictive.band, color="0.6", alpha=BAND, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.plot(points, np.searchsorted(pit, points, side="right") / len(pit) - points, color=COLOURS[0])
    axes.set(xlim=(0, 1), xlabel="PIT of the last rows of runs", ylabel="ECDF less uniform")
    return _finish(axes)


def predictives(
    predictives: Mapping[str, "PredictedRows"], *, probability: float = 0.9, axes: Axes | None = None
) -> Axes:
    """Predictive interval of every row as a multiple of what was observed, by name of the predictive; rows by that.

    The narrowest fills the height, and others go beyond it. Where not all was observed above 0, differences are drawn.
    """
    axes = axes or new_axes()[0]
    first = next(iter(predictives.values()))
    order = np.argsort(first.observed)
    observed, ranks = first.observed[order], np.arange(1, len(order) + 1)
    multiple = observed.min() > 0
    ends = [(1 - probability) / 2, (1 + probability) / 2]
    reaches = []
    for colour, (name, predictive) in zip(_cycle(len(predictives)), predictives.items(), strict=True):
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
    axes.set(xlabel="rows by what was observed", ylabel=what)
    axes.legend(frameon=False)
    return _finish(axes)


def _cheapest(frontier: Frontier) -> tuple[float, float]:
    growth = frontier.expansion
    return float(np.median(growth.params_factor)), float(np.median(growth.tokens_factor))


def _ends(probability: float) -> list[float]:
    return [(1 - probability) / 2, 0.5, (1 + probability) / 2]


def _cycle(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _plain_ticks(axes: Axes) -> None:
    """Factors as people read them."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=2))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.minorticks_off()


def _finish(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes
