"""How the answers of decisions are shown: tables for people, and figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_atlas.cli.console import new_table, number, out, say, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayes_atlas.decisions.bayes_action import Action
    from bayes_atlas.decisions.expand import Frontier
    from bayes_atlas.decisions.mixture import Mixture
    from bayes_atlas.decisions.optimum import Optimum
    from bayes_atlas.decisions.summary import Summary

QUANTITIES = {
    "params": "params N",
    "tokens": "tokens D",
    "loss": "loss",
    "epochs": "epochs over U",
    "tokens_per_param": "tokens per param",
}
FACTORS = {
    "params_factor": "params N x",
    "tokens_factor": "tokens D x",
    "tokens_per_language_factor": "tokens per language x",
    "compute_factor": "compute x",
}


def print_optimum(
    posterior: str,
    decision: "Optimum",
    summary: Mapping[str, "Summary"],
    probability: float,
    doubted: "Optimum | None" = None,
) -> None:
    """What is trained, and the compute-optimal plan with its intervals; beside them those with the law's error."""
    problem = decision.problem
    limit = "" if not isinstance(decision.unique, float) else f" and {number(decision.unique)} unique tokens"
    convention = "" if problem.cost.is_plain else f" ({problem.cost.convention})"
    what = (
        decision.language
        if len(problem.shares) == 1
        else f"{listed(problem.shares)} for {listed(problem.objective.weights)}"
    )
    say(f"{posterior}: training in {what} with {decision.compute:.3g} FLOPs{convention}{limit}")
    wider = {} if doubted is None else doubted.summary(probability)
    added = ("with the law's error: median", interval(probability)) if wider else ()
    table = new_table("compute-optimal", "median", interval(probability), *added)
    for name, label in QUANTITIES.items():
        if name != "epochs" or decision.unique is not None:
            more = median_and_interval(wider[name]) if wider else ()
            table.add_row(label, *median_and_interval(summary[name]), *more)
    out.print(table)


def print_actions(actions: Mapping[str, "Action"]) -> None:
    """The plans to act on, and the sizes that are as good."""
    table = new_table("plan to act on", "params N", "tokens D", "loss", "mean regret", "worst tenth")
    for name, action in actions.items():
        plan = (action.params, action.tokens, action.loss.mean(), action.regret.mean(), action.cvar)
        table.add_row(name, *map(number, plan))
    out.print(table)
    smallest, largest = next(iter(actions.values())).near_params
    say(f"Any size from {number(smallest)} to {number(largest)} at this budget is as good, within 0.1% of the loss.")


def print_mixture(found: "Mixture", probability: float) -> None:
    """The mixture beside those it was compared with, and what it saves over them."""
    plans = {"chosen": found.plan} | found.baselines
    table = new_table("share", *plans)
    for source in found.plan.shares:
        table.add_row(source, *(f"{plan.shares[source]:.2%}" for plan in plans.values()))
    for label, name in (("params N", "params"), ("tokens D", "tokens")):
        table.add_row(label, *(number(getattr(plan, name)) for plan in plans.values()))
    table.add_row("loss", *(number(plan.loss.mean()) for plan in plans.values()))
    out.print(table)
    table = new_table("loss saved over", "median", interval(probability), "probability it is worse")
    for name in found.baselines:
        compared = found.compared(name, probability)
        table.add_row(name, *median_and_interval(compared["gain"]), number(compared["probability_worse"], 3))
    out.print(table)


def print_growth(summary: Mapping[str, "Summary"], probability: float) -> None:
    """Factors of a growth to more languages."""
    table = new_table("cheapest growth", "median", interval(probability))
    for name, label in FACTORS.items():
        table.add_row(label, *median_and_interval(summary[name]))
    out.print(table)


def infeasible(found: "Frontier") -> float | None:
    """The largest size of a frontier at which no amount of data is enough in half of the draws."""
    sizes = found.params_factor[found.infeasible >= 0.5]
    return float(sizes.max()) if sizes.size else None


def interval(probability: float) -> str:
    """The head of a column of intervals."""
    return f"{100 * probability:.4g}% interval"


def median_and_interval(values: Mapping[str, Any]) -> tuple[str, str]:
    """The cells of a summary."""
    return number(values["median"]), f"{number(values['lower'])} to {number(values['upper'])}"


def factor_cells(values: Mapping[str, float | None]) -> tuple[str, str]:
    """The cells of a factor whose ends may be infinite."""
    median, lower, upper = (
        "never" if values[name] is None else number(values[name] or 0.0, 3) for name in ("median", "lower", "upper")
    )
    return median, f"{lower} to {upper}"


def listed(parts: Mapping[str, float]) -> str:
    """Names with their parts of the whole."""
    if len(parts) == 1:
        return next(iter(parts))
    shown = [f"{name} {part:.3g}" for name, part in parts.items() if part >= 5e-4]
    return ", ".join(shown)


def draw_actions(actions: Mapping[str, "Action"], path: Path, probability: float) -> None:
    """The trade-off around the first plan, and the regret of all."""
    from bayes_atlas.plots import new_axes, regret, trade_off

    left, right = new_axes(2)
    trade_off(next(iter(actions.values())), probability=probability, axes=left)
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
