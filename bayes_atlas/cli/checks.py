"""What `diagnose --full` prints and draws."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayes_atlas.cli.console import new_table, number, out, say, value_range, writing
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.validation.review import PredictedRows, Review, Sensitivity

SHOWN = 8  # rows of a table; --json has all


def print_checks(found: "Review") -> None:
    """Tables of what was found, then remarks, then what could not be checked."""
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
        table = new_table("run the law cannot account for", "weight")
        for name, weight in list(found.weights.items())[:SHOWN]:
            table.add_row(name, number(weight, 2))
        out.print(table)
        _say_more(len(found.weights), "runs")
    if (loo := found.influence) is not None:
        say(
            f"PSIS-LOO: elpd {number(loo.elpd)} (standard error {number(loo.se)}), {number(loo.p, 3)} effective "
            f"parameters; Pareto k above {loo.limit:.2g} for {len(loo.above)} of {loo.curves:,} curves"
        )
    for remark in found.remarks:
        say(f"Remark: {remark}.")
    for part, lacking in found.missing.items():
        say(f"Not checked: {part}, for lack of {lacking}.")


def draw_checks(found: "Review", path: Path) -> None:
    """PIT values, and both predictives, side by side."""
    from bayes_atlas.plots import new_axes, pit, predictives, save

    drawn = {"prior": found.prior, "posterior": found.posterior}
    if found.posterior is None:
        lacking = "; ".join(found.missing.values())
        raise InputError(f"there is no predictive check to draw, for lack of {lacking}; leave --plot out")
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
    _say_more(len(sensitivity), "parameters, less sensitive to their priors")


def _say_more(count: int, what: str) -> None:
    if count > SHOWN:
        say(f".. and {count - SHOWN:,} more {what}: see --json")
