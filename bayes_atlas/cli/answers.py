"""Output of decisions: tables, figures and JSON."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bayes_atlas.cli.console import number, print_json, print_notes, print_rows, say, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayes_atlas.cli.options import Shown
    from bayes_atlas.decisions.base import Decision
    from bayes_atlas.decisions.mixture import Mixture
    from bayes_atlas.decisions.optimum import Optimum


class WithLawError(Protocol):
    """A decision that may have a second answer, which holds if the law does."""

    @property
    def if_law_holds(self) -> object | None:
        """The second answer."""


LEARNED_AND_ALONE = (
    "The first interval allows for errors of the law, as seen in its runs and in",
    "public tables. The second holds only if the law does.",
)


def explain_law_error(decision: WithLawError) -> None:
    """Say what the two intervals of a decision mean, if it has two."""
    if decision.if_law_holds is not None:
        for line in LEARNED_AND_ALONE:
            say(line)


def show(
    decision: "Decision", shown: "Shown", tables: Callable[[], None], figure: Callable[[Path, float], None]
) -> None:
    """Print a decision as JSON or as text, and draw its figure if the user asks for one.

    Args:
        decision: the decision to show.
        shown: the options of the output.
        tables: prints the decision as text, without its notes.
        figure: draws the decision to a file, with intervals of a given probability.
    """
    document = decision.to_dict(shown.probability)
    if shown.plot is not None:
        figure(shown.plot, shown.probability)
    if shown.as_json:
        print_json(document)
        return
    tables()
    print_notes(decision.notes)


def print_optimum(decision: "Optimum", probability: float) -> None:
    """Print the question, the compute-optimal plan, the plans to act on, and the range of sizes that are as good."""
    say(decision.question)
    print_rows(decision.rows(probability))
    explain_law_error(decision)
    print_rows([*decision.action.rows(), *decision.cautious_action.rows()])
    smallest, largest = decision.action.near_params
    say(f"Any size from {number(smallest)} to {number(largest)} at this budget is as good, within 0.1% of the loss.")


def print_mixture(found: "Mixture", probability: float) -> None:
    """Print the mixture beside the usual mixtures, and its gain over them."""
    print_rows(found.plan_rows())
    print_rows(found.gain_rows(probability))


def interval(probability: float) -> str:
    """Return the head of a column of intervals."""
    return f"{100 * probability:.4g}% interval"


def median_and_interval(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return the median and the interval of a summary as two cells."""
    return number(values["median"]), f"{number(values['lower'])} to {number(values['upper'])}"


def draw_optimum(decision: "Optimum", path: Path, probability: float) -> None:
    """Draw the trade-off around the plan to act on, and the regret of this plan and of the cautious one."""
    from bayes_atlas.plots import new_axes, regret, trade_off

    left, right = new_axes(2)
    actions = {action.criterion: action for action in (decision.action, decision.cautious_action)}
    trade_off(decision.action, probability=probability, axes=left)
    save(regret(actions, axes=right), path)


def draw_mixture(found: "Mixture", path: Path, probability: float) -> None:
    """Draw the shares of the mixture and its gains."""
    from bayes_atlas.plots import gains, new_axes, shares

    left, right = new_axes(2)
    shares(found, axes=left)
    save(gains(found, probability=probability, axes=right), path)


def save(axes: "Axes", path: Path) -> None:
    """Write the figure of `axes` to `path`."""
    from bayes_atlas.plots import save

    with writing(path):
        save(axes, path)
