"""Crossovers as a function of model size."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_atlas.decisions.crossover import Crossover, find_crossover
from bayes_atlas.decisions.summary import levels
from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.plots.figure import BAND, colours_for, finish, new_axes
from bayes_atlas.posterior import Posterior

WIDEN = 1.05  # factor on the shaded range of sizes, to make a single size visible
SIZES = (1e8, 1e10)  # smallest and largest size on the axis


def crossover_by_size(
    found: Crossover, *, points: xr.Dataset | None = None, probability: float = 0.9, axes: Axes | None = None
) -> Axes:
    """Draw `crossovers` of a decision's language and checkpoint, over sizes around its own."""
    around = (min(found.params, SIZES[0]), max(found.params, SIZES[1]))
    return crossovers(
        found.posterior,
        [found.language],
        checkpoint=found.checkpoint,
        params=around,
        points=points,
        probability=probability,
        axes=axes,
    )


def crossovers(
    posterior: Posterior,
    languages: Sequence[str],
    *,
    checkpoint: str | None = None,
    params: tuple[float, float] = SIZES,
    points: xr.Dataset | None = None,
    probability: float = 0.9,
    axes: Axes | None = None,
) -> Axes:
    """Draw the compute of the crossover from scratch against a checkpoint, over sizes (Longpre et al. 2025, Fig. 7).

    At sizes without a crossover in range in half of the draws, there is no line. `points` are measured crossovers, from
    `read_crossings`, with twice their stated error; those of other languages are grey. The range of fitted sizes is
    shaded, and lines are dotted outside it.
    """
    axes = axes or new_axes()[0]
    sizes, fitted = np.geomspace(*params, 25), posterior.info.runs.ranges.get("params")
    for colour, language in zip(colours_for(len(languages)), languages, strict=True):
        found = [
            find_crossover(posterior, params=float(size), language=language, checkpoint=checkpoint) for size in sizes
        ]
        drawn = np.stack([TRAINING_FLOPS * size * each.tokens for size, each in zip(sizes, found, strict=True)], axis=1)
        lower, median, upper = np.quantile(drawn, levels(probability), axis=0, method="lower")
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
        flops = TRAINING_FLOPS * points["params"].to_numpy() * points["crossover"].to_numpy()
        spread = np.exp(2 * points["error"].to_numpy())
        colours = dict(zip(languages, colours_for(len(languages)), strict=True))
        for name, size, at, factor in zip(names, points["params"].to_numpy(), flops, spread, strict=True):
            bars = [[at - at / factor], [at * factor - at]]
            axes.errorbar(size, at, bars, fmt="o", markersize=4, color=colours.get(name, "0.6"), linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="parameters N", ylabel="compute of the crossover (FLOPs)")
    axes.legend(frameon=False)
    return finish(axes)
