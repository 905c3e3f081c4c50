"""`trajectory`: how the compute-optimal size and data grow with the budget."""

from typing import Annotated

import typer

from bayes_atlas.cli.answers import interval, median_and_interval, save
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName, Probability, Served, Weights
from bayes_atlas.cli.console import new_table, out, print_json, print_notes
from bayes_atlas.cli.typed import pairs

PANEL = "Decisions"


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
    weights = pairs("--weight", weight)
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
