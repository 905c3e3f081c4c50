"""Common parts of all figures: axes, colours, and writing to a file."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter

from bayes_atlas.data.text import printable
from bayes_atlas.errors import InputError

# Okabe and Ito's palette for all kinds of colour vision, without its yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BAND = 0.22  # opacity
SUFFIXES = (".svg", ".png", ".pdf")
LABELS = {"params": "parameters N", "tokens": "training tokens D", "loss": "loss", "epochs": "epochs"}


def new_axes(panels: int = 1) -> list[Axes]:
    """Return axes side by side on a new figure."""
    figure = Figure(figsize=(5.2 * panels, 4.0), layout="constrained")
    return list(np.ravel(figure.subplots(1, panels)))


def save(axes: Axes, path: str | Path) -> None:
    """Write the figure of `axes`, as SVG, PNG or PDF.

    Raises:
        InputError: `path` has another suffix.
        OSError: the file cannot be written.
    """
    path = check_target(path)
    figure = axes.get_figure(root=True)
    assert figure is not None
    powers = set[Text]()  # labels at logarithmic ticks, whose text drawing writes
    for axis in (each for axes in figure.axes for each in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), FuncFormatter):  # fixed labels, which drawing would write again
            axis.set_ticks(axis.get_majorticklocs(), [printable(label.get_text()) for label in axis.get_ticklabels()])
        if isinstance(axis.get_major_formatter(), LogFormatter):
            powers |= {tick.label1 for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(printable(text.get_text()))
        text.set_parse_math(text in powers)  # a name may hold dollar signs
    figure.savefig(path, dpi=160)


def check_target(path: str | Path) -> Path:
    """Return `path` if its suffix is that of a figure.

    Raises:
        InputError: `path` has another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot draw a figure to {path.name!r}; end its name in {', '.join(SUFFIXES)}")
    return path


def colours_for(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def finish(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes
