"""Commands that decide from a posterior: `optimum`, `trajectory`, `mixture`, `expand`, `tax` and `plan`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.answers import (
    draw_actions,
    draw_mixture,
    factor_cells,
    infeasible,
    interval,
    listed,
    median_and_interval,
    print_actions,
    print_growth,
    print_mixture,
    print_optimum,
    save,
)
from bayes_atlas.cli.arguments import AsJson, By, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import new_table, number, out, print_json, print_notes, say
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.optimum import Optimum

Compute = Annotated[float, typer.Option(help="Budget in FLOPs, 6 per parameter and token.", show_default=False)]
Language = Annotated[
    str | None, typer.Option(help="Language whose loss counts; not needed if there is one.", show_default=False)
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="LANGUAGE=WEIGHT", help="How much a language's loss counts.", show_default=False),
]
Unique = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TOKENS | SOURCE=TOKENS", help="Unique tokens there are; unlimited if not given.", show_default=False
    ),
]
Shares = Annotated[
    list[str] | None,
    typer.Option("--share", metavar="SOURCE=SHARE", help="Share of the tokens; even if not given.", show_default=False),
]
MaxParams = Annotated[float | None, typer.Option(help="Largest model that can be served.", show_default=False)]
MaxTokens = Annotated[float | None, typer.Option(help="Most tokens there is time for.", show_default=False)]
Served = Annotated[
    float | None, typer.Option(help="Tokens of inference that the budget pays too, at 2 N each.", show_default=False)
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


def trajectory(
    posterior: PosteriorName,
    least: Annotated[float, typer.Option("--from", help="Smallest budget in FLOPs.", show_default=False)],
    most: Annotated[float, typer.Option("--to", help="Largest budget in FLOPs.", show_default=False)],
    language: Annotated[
        list[str] | None,
        typer.Option(help="Language or configuration, one path for each; all if not given.", show_default=False),
    ] = None,
    weight: Weights = None,
    unique: Annotated[
        float | None, typer.Option(help="Unique tokens there are of each; unlimited if not given.", show_default=False)
    ] = None,
    served: Served = None,
    points: Annotated[int, typer.Option(min=2, help="Budgets, evenly spaced in logs.")] = 9,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """How the compute-optimal size and data grow with the budget, with bands.

    With weights, one path of those languages together, sampled evenly; and one of each language that is asked for too.

    Example: `bayes-atlas trajectory datablations-2023 --from 1e19 --to 1e23 --unique 1e10`
    """
    from bayes_atlas.data.names import source_of
    from bayes_atlas.decisions.trajectory import budgets_between
    from bayes_atlas.decisions.trajectory import trajectory as follow
    from bayes_atlas.posterior import load_posterior

    loaded = load_posterior(posterior, parameters_only=True)
    budgets = budgets_between(least, most, points)
    weights = _pairs("--weight", weight)
    alone = language or ([] if weights else loaded.info.languages)
    paths = {name: follow(loaded, compute=budgets, language=name, unique=unique, served=served) for name in alone}
    if weights:
        limits = None if unique is None else dict.fromkeys(map(source_of, weights), unique)
        paths[" + ".join(weights)] = follow(loaded, compute=budgets, weights=weights, unique=limits, served=served)
    if plot is not None:
        from bayes_atlas.plots import new_axes, trajectories

        left, right = new_axes(2)
        trajectories(paths, "params", probability=probability, axes=left)
        save(trajectories(paths, "tokens", probability=probability, axes=right), plot)
    rows = {name: path.summary(probability) for name, path in paths.items()}
    notes = list(dict.fromkeys(note for path in paths.values() for note in path.notes))
    if as_json:
        print_json({"posterior": posterior, "unique": unique, "served": served, "trajectories": rows, "notes": notes})
        return
    table = new_table("language", "compute", "params N", interval(probability), "tokens D", interval(probability))
    for name, path in rows.items():
        for row in path:
            cells = [cell for key in ("params", "tokens") for cell in median_and_interval(row[key])]
            table.add_row(name, f"{row['compute']:.3g}", *cells)
    out.print(table)
    print_notes(notes)


def mixture(
    posterior: PosteriorName,
    compute: Compute,
    weight: Weights = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=TOKENS", help="Unique tokens there are; unlimited if not given.", show_default=False
        ),
    ] = None,
    bound: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=LEAST:MOST", help="Least and largest share of a source.", show_default=False),
    ] = None,
    max_epochs: Annotated[
        float | None, typer.Option(help="Most passes over the unique tokens of a source.", show_default=False)
    ] = None,
    max_params: MaxParams = None,
    max_tokens: MaxTokens = None,
    served: Served = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """How much of each language to sample, with size and data, against the usual mixtures.

    All languages of the posterior count evenly unless weights are given.

    Example: `bayes-atlas mixture ./mine --compute 1e22 --weight sw=3 --weight en=1 --unique sw=7.7e8 --max-epochs 4`
    """
    from bayes_atlas.decisions.mixture import mixture as decide
    from bayes_atlas.posterior import load_posterior

    found = decide(
        load_posterior(posterior, parameters_only=True),
        compute=compute,
        weights=_pairs("--weight", weight) or None,
        unique=_pairs("--unique", unique),
        bounds={name: _ends(name, text) for name, text in _texts("--bound", bound).items()},
        max_epochs=max_epochs,
        max_params=max_params,
        max_tokens=max_tokens,
        served=served,
    )
    if plot is not None:
        draw_mixture(found, plot, probability)
    if as_json:
        asked = {"posterior": posterior, "compute": compute, "weights": found.objective.weights}
        print_json(asked | {"flops": found.cost.convention} | found.to_dict(probability) | {"notes": found.notes})
        return
    say(
        f"{posterior}: mixture for {listed(found.objective.weights)} with {compute:.3g} FLOPs ({found.cost.convention})"
    )
    print_mixture(found, probability)
    print_notes(found.notes)


def expand(
    posterior: PosteriorName,
    factor: Annotated[float, typer.Option(help="r: by how much the number of languages grows.", show_default=False)],
    language: Annotated[
        str | None, typer.Option(help="Language whose loss is kept; a typical one if not given.", show_default=False)
    ] = None,
    params: Annotated[float | None, typer.Option(help="Size of the run to grow from.", show_default=False)] = None,
    tokens: Annotated[float | None, typer.Option(help="Its training tokens in all.", show_default=False)] = None,
    languages: Annotated[float | None, typer.Option(help="Its number of languages.", show_default=False)] = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """From K to r K languages at equal loss: how much larger a model on how much more data.

    From a compute-optimal run unless one to grow from is given.

    Examples:

    - `bayes-atlas expand capacity-simulated --factor 4`

    - `bayes-atlas expand capacity-simulated --factor 2 --params 2e9 --tokens 1e11 --languages 8`
    """
    from bayes_atlas.decisions.expand import frontier
    from bayes_atlas.posterior import load_posterior

    loaded = load_posterior(posterior, parameters_only=True)
    start: dict[str, Any] = {"language": language, "params": params, "tokens": tokens, "languages": languages}
    found = frontier(loaded, factor=factor, **start)
    if plot is not None:
        from bayes_atlas.plots import iso_loss

        others = [frontier(loaded, factor=r, **start) for r in (2.0, 4.0, 8.0, 16.0) if r < factor]
        save(iso_loss([*others, found], probability=probability), plot)
    growth = found.expansion
    summary = growth.summary(probability)
    if as_json:
        asked = {"posterior": posterior, "language": growth.language, "factor": factor}
        began = {name: start[name] for name in ("params", "tokens", "languages")}
        along = {"frontier": found.to_list(probability)}
        print_json(asked | {"start": began if growth.start else None} | summary | along | {"notes": growth.notes})
        return
    since = (
        "a compute-optimal run"
        if growth.start is None
        else f"{number(growth.start.params)} parameters on {number(growth.start.tokens)} tokens"
    )
    kept = f"a typical one of {growth.language}" if "," in growth.language else growth.language
    say(f"{posterior}: {factor:g} times as many languages from {since}, at the loss of {kept}")
    print_growth(summary, probability)
    if least := infeasible(found):
        say(f"Below {least:.3g} times the size no amount of data keeps the loss in half of the draws.")
    print_notes(growth.notes)


def tax(
    posterior: PosteriorName,
    language: Annotated[str, typer.Option(help="Language without labels, such as fr.", show_default=False)],
    compute: Annotated[
        list[float], typer.Option(help="Budget of the baseline in FLOPs; several if repeated.", show_default=False)
    ],
    baseline: Annotated[
        str | None, typer.Option(help="Configuration to compare with; the first if not given.", show_default=False)
    ] = None,
    unique: Annotated[
        float | None, typer.Option(help="Unique tokens there are of it; unlimited if not given.", show_default=False)
    ] = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Extra compute for equal loss between the configurations of a language that a posterior was fitted by.

    Example: `bayes-atlas tax ./mine --language fr --compute 1e20 --compute 1e21`
    """
    from bayes_atlas.decisions.tax import efficiency_tax
    from bayes_atlas.posterior import load_posterior

    taxes = efficiency_tax(
        load_posterior(posterior, parameters_only=True),
        language=language,
        compute=compute,
        baseline=baseline,
        unique=unique,
    )
    if plot is not None:
        from bayes_atlas.plots import tax as draw

        save(draw(taxes, probability=probability), plot)
    rows = {each.configuration: each.to_list(probability) for each in taxes}
    notes = taxes[0].notes
    if as_json:
        asked = {"posterior": posterior, "language": language, "baseline": taxes[0].baseline, "unique": unique}
        print_json(asked | {"configurations": rows, "notes": notes})
        return
    table = new_table("configuration", f"compute of {taxes[0].baseline}", "factor", interval(probability), "identified")
    for name, budgets in rows.items():
        for row in budgets:
            table.add_row(
                name, f"{row['compute']:.3g}", *factor_cells(row["factor"]), "yes" if row["identified"] else "no"
            )
    out.print(table)
    print_notes(notes)


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


# What people typed


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
        "weights": _pairs("--weight", weights) or None,
        "unique": _to_number("--unique", unique[0]) if unique and plain else _pairs("--unique", unique),
        "shares": _pairs("--share", shares) or None,
        "max_params": max_params,
        "max_tokens": max_tokens,
        "served": served,
    }


def _texts(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} is {text!r}; give NAME=VALUE")
        if name in pairs:
            raise InputError(f"{option} is given twice for {name}; give it once")
        pairs[name] = value
    return pairs


def _pairs(option: str, given: list[str] | None) -> dict[str, float]:
    return {name: _to_number(f"{option} {name}", text) for name, text in _texts(option, given).items()}


def _to_number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option} is {text!r}; it must be a number, such as 1e9") from error


def _ends(name: str, text: str) -> tuple[float, float]:
    least, _, most = text.partition(":")
    return _to_number(f"--bound {name}", least or "0"), _to_number(f"--bound {name}", most or "1")
