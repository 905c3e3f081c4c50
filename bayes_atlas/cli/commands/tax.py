"""`tax`: extra compute for equal loss between configurations of a language."""

from typing import Annotated

import typer

from bayes_atlas.cli.answers import factor_cells, interval, save
from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import new_table, out, print_json, print_notes

PANEL = "Decisions"


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
