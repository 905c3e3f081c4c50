"""`diagnose`: checks of a posterior's sampling, and with `--full` a review of the fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.arguments import AsJson, Plot, PosteriorName
from bayes_atlas.cli.console import new_table, number, out, plural, print_json, say, value_range, writing
from bayes_atlas.cli.sampling import print_posterior, sampling_report
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.validation.review import PredictedRows, Review, Sensitivity

PANEL = "Posteriors"


SHOWN = 8  # most rows of a table; --json has all


def diagnose(
    posterior: PosteriorName,
    full: Annotated[
        bool, typer.Option("--full", help="Also review the fit against its data and its priors; see below.")
    ] = False,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Show the checks of a posterior's sampling, with advice on each that fails.

    A posterior is stale if its model has changed since the fit. To find out, the command executes the model. The exit
    code is 1 if a check fails or the posterior is stale.

    `--full` adds prior and posterior predictions of the fitted rows, the sensitivity of the law's parameters to their
    priors, influential runs (PSIS-LOO), and runs that the law does not account for. Most of these need a fit with its
    data stored. None of them changes the exit code. `--plot` draws PIT values and both predictions.

    Examples:

    - `bayes-atlas diagnose chinchilla-2022`

    - `bayes-atlas diagnose ./mine --full --plot checks.svg`
    """
    from bayes_atlas.inference.staleness import is_stale
    from bayes_atlas.posterior import load_posterior

    if plot is not None and not full:
        raise InputError("--plot draws the checks of --full; add --full, or leave --plot out")
    loaded = load_posterior(posterior)
    if full:
        from bayes_atlas.validation.review import review_fit

        found = review_fit(loaded)
        stale, more = found.stale, {"full": found.to_dict()}
        if plot is not None:
            draw_checks(found, plot)
    else:
        stale, more = is_stale(loaded), {}
    if as_json:
        print_json(sampling_report(loaded) | {"stale": stale} | more)
    else:
        print_posterior(loaded)
        if stale:
            say("STALE: the model has changed since the fit and gives another density; fit again")
        else:
            say("The posterior is current: its model still gives the sampled density")
        if full:
            print_checks(found)
    raise typer.Exit(1 if loaded.failed_checks or stale else 0)


def print_checks(found: "Review") -> None:
    """Print the findings, then remarks, then the parts that could not be checked."""
    drawn = {"prior": found.prior, "posterior": found.posterior}
    predictives = {name: each for name, each in drawn.items() if each is not None}
    if predictives:
        _print_predictives(predictives)
    if found.posterior is not None:
        table = new_table("worst rows", "observed", "median", "deviations")
        for row in found.posterior.worst():
            table.add_row(row["row"], *(number(row[name]) for name in ("observed", "median", "deviations")))
        out.print(table)
    if found.sensitivity:
        _print_sensitivity(found.sensitivity)
    if found.weights:
        table = new_table("outlying run", "weight")
        for name, weight in list(found.weights.items())[:SHOWN]:
            table.add_row(name, number(weight, 2))
        out.print(table)
        _say_more(len(found.weights), "more run")
    if (loo := found.influence) is not None:
        say(
            f"PSIS-LOO: ELPD {number(loo.elpd)} (standard error {number(loo.se)}), effective parameters: "
            f"{number(loo.p, 3)}; Pareto k above {loo.limit:.2g} for {len(loo.above)} of {plural(loo.curves, 'curve')}"
        )
    for remark in found.remarks:
        say(f"Remark: {remark}.")
    for part, lacking in found.missing.items():
        say(f"Not checked: {part}. It needs {lacking}.")


def draw_checks(found: "Review", path: Path) -> None:
    """Draw PIT values beside both predictive distributions."""
    from bayes_atlas.plots import new_axes, pit, predictives, save

    drawn = {"prior": found.prior, "posterior": found.posterior}
    if found.posterior is None:
        lacking = "; ".join(found.missing.values())
        raise InputError(f"there is no predictive check to draw: it needs {lacking}; leave --plot out")
    left, right = new_axes(2)
    pit(found.posterior, axes=left)
    predictives({name: each for name, each in drawn.items() if each is not None}, axes=right)
    with writing(path):
        save(left, path)


def _print_predictives(predictives: "dict[str, PredictedRows]") -> None:
    quantity = next(iter(predictives.values())).quantity
    table = new_table("predictive", f"90 % of {quantity}", "observed", "rows inside 50 %", "80 %", "90 %", "95 %")
    for name, each in predictives.items():
        shown = each.to_dict()
        inside = (f"{share:.0%}" for share in shown["coverage"].values())
        table.add_row(name, value_range(each.interval(0.9)), value_range(tuple(shown["observed"])), *inside)
    out.print(table)


def _print_sensitivity(sensitivity: "list[Sensitivity]") -> None:
    table = new_table("sensitivity of", "to prior", "to likelihood", "diagnosis")
    for each in sensitivity[:SHOWN]:
        likelihood = "-" if each.likelihood is None else number(each.likelihood, 2)
        table.add_row(each.parameter, number(each.prior, 2), likelihood, each.diagnosis)
    out.print(table)
    _say_more(len(sensitivity), "less sensitive parameter")


def _say_more(count: int, noun: str) -> None:
    if count > SHOWN:
        say(f".. and {plural(count - SHOWN, noun)}: see --json")
