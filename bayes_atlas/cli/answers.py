"""How the answers of decisions are shown: tables for people, and figures."""

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
    """A decision as a figure where one is asked for, and as JSON or as text.

    Args:
        decision: what was decided.
        shown: how to show it.
        tables: prints it for people, between the question and the notes.
        figure: draws it to a file, with intervals of a probability.
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
    """The question, the compute-optimal plan, the plans to act on, and the sizes that are as good."""
    say(decision.question)
    print_rows(decision.rows(probability))
    explain_law_error(decision)
    print_rows([*decision.action.rows(), *decision.cautious_action.rows()])
    smallest, largest = decision.action.near_params
    say(f"Any size from {number(smallest)} to {number(largest)} at this budget is as good, within 0.1% of the loss.")


def print_mixture(found: "Mixture", probability: float) -> None:
    """The mixture beside those it was compared with, and what it saves over them."""
    print_rows(found.plan_rows())
    print_rows(found.gain_rows(probability))


def interval(probability: float) -> str:
    """The head of a column of intervals."""
    return f"{100 * probability:.4g}% interval"


def median_and_interval(values: Mapping[str, Any]) -> tuple[str, str]:
    """The cells of a summary."""
    return number(values["median"]), f"{number(values['lower'])} to {number(values['upper'])}"


def draw_optimum(decision: "Optimum", path: Path, probability: float) -> None:
    """The trade-off around the plan to act on, and the regret of it and of the cautious one."""
    from bayes_atlas.plots import new_axes, regret, trade_off

    left, right = new_axes(2)
    actions = {action.criterion: action for action in (decision.action, decision.cautious_action)}
    trade_off(decision.action, probability=probability, axes=left)
    save(regret(actions, axes=right), path)


def draw_mixture(found: "Mixture", path: Path, probability: float) -> None:
    """Shares and gains."""
    from bayes_atlas.plots import gains, new_axes, shares

    left, right = new_axes(2)
    shares(found, axes=left)
    save(gains(found, probability=probability, axes=right), path)


def save(axes: "Axes", path: Path) -> None:
    """Write the figure of `axes`."""
    from bayes_atlas.plots import save

    with writing(path):
        save(axes, path)
