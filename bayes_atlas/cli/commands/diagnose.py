"""`diagnose`: checks of a posterior's sampling, with `--full` a review of the fit, with `--decision` one of an answer.

How a decision depends on priors is asked here and not with the decision's own command: the prior densities may have to
be computed from the model, and commands that decide never execute one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.arguments import LEARNED, AsJson, LawError, Plot, PosteriorName, Probability
from bayes_atlas.cli.console import new_table, number, out, plural, print_json, print_rows, say, value_range, writing
from bayes_atlas.cli.sampling import print_posterior, sampling_report
from bayes_atlas.cli.typed import FLOPS, PARAMS, TOKENS
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.decisions.base import Decision
    from bayes_atlas.posterior import Posterior
    from bayes_atlas.validation.prior_power import PriorPower
    from bayes_atlas.validation.review import PredictedRows, Review, Sensitivity

PANEL = "Posteriors"


SHOWN = 8  # most rows of a table; --json has all
OPTIONS = {  # of each decision; it needs the first
    "optimum": ("compute", "language", "unique"),
    "expand": ("factor", "language"),
    "crossover": ("params", "language", "checkpoint", "unique"),
}
SUCH_AS = {"optimum": "--compute 1e22", "expand": "--factor 4", "crossover": "--params 2e9"}


@dataclass(frozen=True)
class Asked:
    """The decision whose dependence on priors is asked, with options of its own command."""

    decision: Annotated[
        str | None,
        typer.Option(
            metavar=" | ".join(OPTIONS), help="Also show how this decision depends on priors.", show_default=False
        ),
    ] = None
    compute: Annotated[float | None, typer.Option(**FLOPS, help="optimum: budget in FLOPs.")] = None
    factor: Annotated[
        float | None, typer.Option(help="expand: factor on the number of languages.", show_default=False)
    ] = None
    params: Annotated[float | None, typer.Option(**PARAMS, help="crossover: parameters of the model.")] = None
    language: Annotated[str | None, typer.Option(help="Language of the decision.", show_default=False)] = None
    checkpoint: Annotated[str | None, typer.Option(help="crossover: checkpoint.", show_default=False)] = None
    unique: Annotated[float | None, typer.Option(**TOKENS, help="Available unique tokens; unlimited by default.")] = (
        None
    )
    law_error: LawError = LEARNED
    probability: Probability = 0.9

    def request(self) -> dict[str, Any]:
        """Return the arguments of the decision.

        Raises:
            InputError: the decision is unknown, lacks an option, or has one that it does not take.
        """
        named = {name: value for name, value in asdict(self).items() if name in set().union(*OPTIONS.values())}
        given = {name: value for name, value in named.items() if value is not None}
        if self.decision is None:
            if given:
                raise InputError(f"--{next(iter(given))} is an option of a decision; add --decision, such as optimum")
            return {}
        if self.decision not in OPTIONS:
            raise InputError(f"--decision is {self.decision!r}; choose one of: {', '.join(OPTIONS)}")
        taken = OPTIONS[self.decision]
        if taken[0] not in given:
            raise InputError(f"--decision {self.decision} needs --{taken[0]}; add {SUCH_AS[self.decision]}")
        if wrong := [name for name in given if name not in taken]:
            raise InputError(
                f"--decision {self.decision} has no --{wrong[0]}; its options are --{', --'.join(taken)}; leave it out"
            )
        return given | {"law_error": self.law_error}

    def decide(self, posterior: "Posterior") -> "Decision":
        """Return the decision."""
        from bayes_atlas import expand, find_crossover, optimum

        decide: dict[str, Callable[..., Decision]] = {
            "optimum": optimum,
            "expand": expand,
            "crossover": find_crossover,
        }
        return decide[str(self.decision)](posterior, **self.request())


def diagnose(
    posterior: PosteriorName,
    full: Annotated[
        bool, typer.Option("--full", help="Also review the fit against its data and its priors; see below.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Its model, if that is a file of your own; this executes it.", show_default=False
        ),
    ] = None,
    *,
    asked: Asked,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Show the checks of a posterior's sampling, with advice on each that fails.

    A posterior is stale if its model has changed since the fit. To find out, the command executes the model: one that
    ships, or the file `--model`. A file that only the posterior names is not executed.

    A further check, `parameters_within_priors`, is of the whole model's parameters, law and noise: it fails if one is
    at an end of its range, or farther out in its prior than chance explains. Remarks name others that are far out. The
    exit code is 1 if a check of the sampling fails or the posterior is stale.

    `--full` adds prior and posterior predictions of the fitted rows, the sensitivity of the law's parameters to their
    priors, influential runs (PSIS-LOO), and runs that the law does not account for. Most of these need a fit with its
    data stored. None of them changes the exit code. `--plot` draws PIT values and both predictions.

    `--decision` shows a decision under priors to the power 0.5 and 2, for which draws are weighed instead of sampled
    again, and says if the weights are unreliable.

    Examples:

    - `bayes-atlas diagnose chinchilla-2022`

    - `bayes-atlas diagnose chinchilla-2022 --decision optimum --compute 5.88e23`

    - `bayes-atlas diagnose ./mine --full --plot checks.svg`
    """
    from bayes_atlas.posterior import load_posterior
    from bayes_atlas.validation.prior_conflicts import prior_check, prior_conflicts

    if plot is not None and not full:
        raise InputError("--plot draws the checks of --full; add --full, or leave --plot out")
    asked.request()
    loaded = load_posterior(posterior)
    if full:
        from bayes_atlas.validation.review import review_fit

        found = review_fit(loaded, model)
        stale = found.stale
        more: dict[str, Any] = {"full": found.to_dict()}
        if plot is not None:
            draw_checks(found, plot)
    else:
        stale, more = _stale(loaded, model), {}
    conflicts = prior_conflicts(loaded)
    priors = prior_check(loaded)
    more |= {"prior_check": None if priors is None else priors.model_dump()}
    more |= {"prior_conflicts": [asdict(each) for each in conflicts]}
    powers = None
    if asked.decision is not None:
        from bayes_atlas.validation.prior_power import prior_power

        powers = prior_power(asked.decide(loaded), loaded, model)
        more = more | {"prior_power": powers.to_dict(asked.probability)}
    if as_json:
        print_json(sampling_report(loaded) | {"stale": stale} | more)
    else:
        print_posterior(loaded)
        if stale:
            say("STALE: the model has changed since the fit and gives another density; fit again")
        elif stale is not None:
            say("The posterior is current: its model still gives the sampled density")
        elif not full:
            file = loaded.info.model
            say(
                f"Not checked: whether its model, {file}, has changed. A file that only a posterior names is not "
                f"executed: read it, then add --model {file}"
            )
        if priors is not None:
            result = "passed" if priors.passed else "FAILED"
            say(f"{priors.name} {result} ({priors.where}: {priors.value:.2f} deviations, limit {priors.limit:.2f})")
        for conflict in conflicts:
            say(f"Remark: {conflict.remark}.")
        if full:
            print_checks(found)
        if powers is not None:
            _print_powers(powers, asked.probability)
    raise typer.Exit(1 if loaded.failed_checks or stale else 0)


def _stale(posterior: "Posterior", model: str | None) -> bool | None:
    """Return whether the model has changed; None if it must not be executed."""
    from bayes_atlas.inference.staleness import ModelNotNamedError, is_stale

    try:
        return is_stale(posterior, model)
    except ModelNotNamedError:
        return None


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
            f"{number(loo.p, 3)}; Pareto k above {loo.limit:.2g} for {len(loo.above)} of {plural(loo.runs, 'run')}"
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


def _print_powers(powers: "PriorPower", probability: float) -> None:
    say(powers.decision.question)
    print_rows(powers.rows(probability))
    for remark in powers.remarks(probability):
        say(f"Remark: {remark}.")


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
