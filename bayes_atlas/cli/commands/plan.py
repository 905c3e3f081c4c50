"""`plan`: answer a scenario file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.answers import draw_mixture, draw_optimum, explain_law_error, print_mixture, print_optimum, show
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName
from bayes_atlas.cli.console import print_rows, say
from bayes_atlas.cli.options import Shown
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.scenario import Answer

PANEL = "Decisions"


def plan(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file, TOML.", show_default=False)],
    posterior: PosteriorName,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Answer a scenario file: the mixture, the size, the data, the plan to act on, and its regret.

    Example: `bayes-atlas plan scenario.toml ./mine`
    """
    from bayes_atlas.decisions.scenario import plan as answer_scenario
    from bayes_atlas.decisions.scenario import read_scenario
    from bayes_atlas.posterior import load_posterior

    asked = read_scenario(scenario)
    answer = answer_scenario(asked, load_posterior(posterior))
    shown = Shown(asked.probability, plot, as_json)
    show(answer, shown, partial(_print, answer), partial(_draw, answer))


def _print(answer: "Answer") -> None:
    probability = answer.scenario.probability
    if answer.scenario.title:
        say(answer.scenario.title)
    if answer.mixture is not None:
        print_mixture(answer.mixture, probability)
    if answer.optimum is not None:
        print_optimum(answer.optimum, probability)
    if answer.expansion is not None:
        print_rows(answer.expansion.rows(probability))
        explain_law_error(answer.expansion)


def _draw(answer: "Answer", path: Path, probability: float) -> None:
    if answer.mixture is not None:
        draw_mixture(answer.mixture, path, probability)
    elif answer.optimum is not None:
        draw_optimum(answer.optimum, path, probability)
    else:
        raise InputError("plan draws no figure of a scenario of growth; draw it with bayes-atlas expand --plot")
