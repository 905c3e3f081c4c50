"""The base class of all decisions: draws with named dims, a summary, the JSON document, notes and a figure.

A decision is a frozen dataclass that derives from `Decision`. The command prints the decision; a report or a page can
show it. All output of a decision is assembled here and in its class.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.data.text import page, screen
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

FIGURES = "bayes_atlas.plots"  # module whose `draw` finds the figure of a decision; loaded at the first plot
# Ranges of numbers in a question. They contain any plan, and no law overflows within them.
SIZES = (1e3, 1e18)  # parameters and tokens
LIMITS = (1e3, 1e40)  # unique tokens, and limits on parameters and tokens
BUDGETS = (1e9, 1e36)  # FLOPs
RATIOS = (1e-6, 1e6)  # weights, shares, factors, epochs, numbers of languages
UNITS = {  # of quantities that several decisions share
    "params": ("number of parameters", "1"),
    "tokens": ("training tokens", "tokens"),
    "loss": ("expected loss", "unit of the run table's loss"),
    "epochs": ("passes over the unique tokens", "1"),
    "tokens_per_param": ("tokens per parameter", "tokens"),
    "compute": ("training compute", "FLOPs"),
    "regret": ("loss above the best plan of the draw", "unit of the run table's loss"),
}


class Decision(ABC):
    """A question, answered for every posterior draw.

    Attributes:
        notes: caveats for the reader, one sentence each, without a full stop.
    """

    notes: list[str]

    @property
    @abstractmethod
    def question(self) -> str:
        """The question in one line, without the answer."""

    @property
    @abstractmethod
    def draws(self) -> "xr.Dataset":
        """Draws of every quantity; dim ``draw`` first, meaning and unit in the ``attrs`` of each variable."""

    @abstractmethod
    def summary(self, probability: float = 0.9) -> Any:
        """Median, mean and interval of every quantity (`bayes_atlas.decisions.summary`), as in the JSON document."""

    @abstractmethod
    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """The whole JSON document: the question, the answer and the notes."""

    @abstractmethod
    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """The answer as a small table for people: column -> cell."""

    def plot(self, axes: "Axes | None" = None, **options: Any) -> "Axes":
        """Draw the figure on `axes`, or on new axes; `options` are those of the figure in `bayes_atlas.plots`."""
        drawn: Axes = import_module(FIGURES).draw(self, axes=axes, **options)
        return drawn

    def __repr__(self) -> str:
        return screen(self.question, self.rows(), self.notes)

    def _repr_html_(self) -> str:
        return page(self.question, self.rows(), self.notes)


def dataset(
    quantities: Mapping[str, tuple[tuple[str, ...], Floats]],
    coords: Mapping[str, Any] | None = None,
    units: Mapping[str, tuple[str, str]] | None = None,
) -> "xr.Dataset":
    """Return draws as a Dataset with meaning and unit of each variable.

    Args:
        quantities: name -> dims and values.
        coords: labels of dims.
        units: name -> meaning and unit, in addition to `UNITS`.
    """
    known = UNITS | dict(units or {})
    variables = {
        name: (dims, np.asarray(values, dtype=float), {"long_name": known[name][0], "units": known[name][1]})
        for name, (dims, values) in quantities.items()
    }
    import xarray as xr

    return xr.Dataset(variables, dict(coords or {}))


def in_range(name: str, value: float, limits: tuple[float, float], *, such_as: str = "1e21") -> float:
    """Return `value` if it is within `limits`, such as `SIZES`.

    Raises:
        InputError: `value` is outside, or not a number.
    """
    least, most = limits
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}; it must be a positive number, such as {such_as}")
    if not least <= value <= most:
        raise InputError(f"{name} is {value:g}; it must be from {least:g} to {most:g}, such as {such_as}")
    return value
