"""`plan`: all answers to a scenario file."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_atlas.cli.answers import (
    draw_actions,
    draw_mixture,
    print_actions,
    print_growth,
    print_mixture,
    print_optimum,
)
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName
from bayes_atlas.cli.console import print_json, print_notes, say
from bayes_atlas.errors import InputError

PANEL = "Decisions"


def plan(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file, TOML.", show_default=False)],
    posterior: PosteriorName,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Answer a scenario file: mixture, size, data, the plan to act on, and what it may cost to be wrong.

    Example: `bayes-atlas plan scenario.toml ./mine`
    """
    from bayes_atlas.decisions.scenario import plan as answer_scenario
    from bayes_atlas.decisions.scenario import read_scenario
    from bayes_atlas.posterior import load_posterior

    asked = read_scenario(scenario)
    answer = answer_scenario(asked, load_posterior(posterior, parameters_only=True))
    probability = asked.probability
    actions = {
        name: action
        for name, action in (("least expected loss", answer.action), ("cautious", answer.cautious))
        if action is not None
    }
    if plot is not None:
        if answer.mixture is not None:
            draw_mixture(answer.mixture, plot, probability)
        elif actions:
            draw_actions(actions, plot, probability)
        else:
            raise InputError("a scenario of growth has no figure here; draw it with bayes-atlas expand --plot")
    if as_json:
        print_json({"posterior": posterior} | answer.to_dict())
        return
    if asked.title:
        say(asked.title)
    if answer.mixture is not None:
        print_mixture(answer.mixture, probability)
    if answer.optimum is not None:
        print_optimum(posterior, answer.optimum, answer.optimum.summary(probability), probability)
        print_actions(actions)
    if answer.expansion is not None:
        print_growth(answer.expansion.summary(probability), probability)
    print_notes(answer.notes)
