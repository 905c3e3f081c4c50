"""`optimum`: the compute-optimal size and data for a budget."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.answers import draw_actions, print_actions, print_optimum
from bayes_atlas.cli.arguments import (
    AsJson,
    By,
    Compute,
    MaxParams,
    MaxTokens,
    Plot,
    PosteriorName,
    Probability,
    Served,
    Shares,
    Unique,
    Weights,
)
from bayes_atlas.cli.console import print_json, print_notes
from bayes_atlas.cli.typed import pairs, to_number
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.optimum import Optimum

PANEL = "Decisions"


Language = Annotated[
    str | None, typer.Option(help="Language whose loss counts; not needed if there is one.", show_default=False)
]


def optimum(
    posterior: PosteriorName,
    compute: Compute,
    language: Language = None,
    weight: Weights = None,
    unique: Unique = None,
    share: Shares = None,
    max_params: MaxParams = None,
    max_tokens: MaxTokens = None,
    served: Served = None,
    law_error: Annotated[
        Path | None,
        typer.Option(
            metavar="RUNS",
            help="The run table that was fitted: intervals with the error of the law that it shows, too.",
            show_default=False,
        ),
    ] = None,
    by: By = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """The compute-optimal size and data for a budget, with intervals, and the one plan to act on.

    Examples:

    - `bayes-atlas optimum chinchilla-2022 --compute 5.88e23`

    - `bayes-atlas optimum datablations-2023 --compute 1e21 --unique 1e9`

    - `bayes-atlas optimum ./mine --compute 1e20 --law-error runs.csv`

    - `bayes-atlas optimum ./mine --compute 1e22 --weight sw=3 --weight en=1 --unique sw=7.7e8 --served 1e12`
    """
    from bayes_atlas.decisions.bayes_action import bayes_action, cautious_action
    from bayes_atlas.decisions.optimum import optimum as decide
    from bayes_atlas.posterior import load_posterior

    if by and law_error is None:
        raise InputError("--by says how --law-error is grouped, and there is none; leave it out, or give the run table")
    request = _request(language, weight, unique, share, max_params, max_tokens, served)
    decision = decide(load_posterior(posterior, parameters_only=True), compute=compute, **request)
    summary = decision.summary(probability)
    doubted = None if law_error is None else _with_law_error(decision, law_error, by or [])
    actions = {"least expected loss": bayes_action(decision), "cautious": cautious_action(decision)}
    if plot is not None:
        draw_actions(actions, plot, probability)
    act, cautious = (action.to_dict(probability) for action in actions.values())
    if as_json:
        asked = {"posterior": posterior, "language": decision.language, "compute": compute, "unique": decision.unique}
        problem = {"weights": decision.problem.objective.weights, "shares": decision.problem.shares}
        limits = {"flops": decision.problem.cost.convention, "max_params": max_params, "max_tokens": max_tokens}
        decided = summary | {"action": act, "cautious_action": cautious, "notes": (doubted or decision).notes}
        wider = {"with_law_error": None if doubted is None else doubted.summary(probability)}
        print_json(asked | problem | limits | {"served": served} | decided | wider)
        return
    print_optimum(posterior, decision, summary, probability, doubted)
    print_actions(actions)
    print_notes((doubted or decision).notes)


def _with_law_error(decision: "Optimum", runs: Path, by: list[str]) -> "Optimum":
    from bayes_atlas.data.runs import group_runs, read_runs
    from bayes_atlas.validation.law_error_within import Misfit, with_misfit

    table = read_runs(runs)
    misfit = Misfit.of(decision.problem.objective.posterior, group_runs(table, by) if by else table)
    doubted = with_misfit(decision, misfit)
    return replace(doubted, notes=[*doubted.notes, "the plans to act on take the law to hold"])


def _request(
    language: str | None,
    weights: list[str] | None,
    unique: list[str] | None,
    shares: list[str] | None,
    max_params: float | None,
    max_tokens: float | None,
    served: float | None,
) -> dict[str, Any]:
    plain = unique is not None and len(unique) == 1 and "=" not in unique[0]
    return {
        "language": language,
        "weights": pairs("--weight", weights) or None,
        "unique": to_number("--unique", unique[0]) if unique and plain else pairs("--unique", unique),
        "shares": pairs("--share", shares) or None,
        "max_params": max_params,
        "max_tokens": max_tokens,
        "served": served,
    }
