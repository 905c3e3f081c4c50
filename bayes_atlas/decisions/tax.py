"""The compute-efficiency tax: extra compute of a configuration of a language (Longpre et al. 2025, Fig. 1).

A posterior fitted by label (``--by vocabulary``, ``--by mixture``) has parameters for each configuration of a language.
Along the compute-optimal frontier of each, the tax is the factor on compute at which a configuration reaches the loss
of a baseline. If the irreducible loss of the configuration is above that loss, no compute is enough. If the draws
disagree on this, the tax is not identified, and the output says so instead of a number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import BUDGETS, Decision, dataset, in_range
from bayes_atlas.decisions.monte_carlo import convergence, numerics_notes, quantile_errors
from bayes_atlas.decisions.objective import LEARNED, NONE
from bayes_atlas.decisions.optimum import plan_notes, posterior_notes
from bayes_atlas.decisions.problem import Problem, problem
from bayes_atlas.decisions.summary import levels
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

NEVER = 1e6  # a larger factor counts as infinite
TOO_WIDE = 10.0  # ratio of an interval's ends; a wider interval counts as not identified
CLOSENESS = 1e-8  # in log factor
UNITS = {
    "factor": ("factor on compute to reach the baseline's loss; infinite if no compute is enough", "1"),
    "loss": ("expected loss of the baseline", "unit of the run table's loss"),
}


@dataclass(frozen=True)
class Tax:
    """Draws of the compute of one configuration of a language, relative to the baseline's, at equal loss."""

    baseline: str
    configuration: str
    compute: Floats  # (budget,) FLOPs of the baseline
    loss: Floats  # (draw, budget) loss of the baseline
    factor: Floats  # (draw, budget) infinite if no compute is enough
    chains: int = 1  # whose draws lie one after the other

    def band(self, probability: float = 0.9) -> NDArray[np.float64]:
        """Return lower end, median and upper end ``(3, budget)``; may be infinite."""
        ends = levels(probability)
        return np.quantile(self.factor, ends, axis=0, method="inverted_cdf")

    def identified(self, probability: float = 0.9) -> NDArray[np.bool_]:
        """Return for each budget ``(budget,)`` True if the interval is finite and narrow enough."""
        lower, _, upper = self.band(probability)
        return np.isfinite(upper) & (upper <= TOO_WIDE * lower)

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """Return the factor by budget; None stands for infinite."""
        rows = []
        never = np.isinf(self.factor).mean(axis=0)
        for index, compute in enumerate(self.compute.tolist()):
            ends = self.band(probability)[:, index].tolist()
            lower, median, upper = (end if np.isfinite(end) else None for end in ends)
            factor = {"median": median, "lower": lower, "upper": upper, "probability": probability, "kind": "eti"}
            places = {"lower": (1 - probability) / 2, "median": 0.5, "upper": (1 + probability) / 2}
            errors = quantile_errors(self.factor[:, index], list(places.values()), self.chains)
            known = {"compute": compute, "factor": factor | {"mcse": dict(zip(places, errors, strict=True))}}
            known |= {"probability_never": float(never[index])}
            known |= {"numerics": convergence(self.factor[:, index], self.chains)}
            rows.append(known | {"identified": bool(self.identified(probability)[index])})
        return rows


@dataclass(frozen=True, repr=False)
class Taxes(Decision, Sequence[Tax]):
    """The tax of every configuration of a language except the baseline, as a sequence."""

    posterior: Posterior
    language: str  # without label
    baseline: str
    unique: float | None  # unique tokens of the language; None if unlimited
    taxes: list[Tax]
    notes: list[str]
    law_error: str = NONE
    if_law_holds: "Taxes | None" = None  # the same without errors of the law; None if these are not included

    @overload
    def __getitem__(self, index: int) -> Tax: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tax]: ...
    def __getitem__(self, index: int | slice) -> Tax | list[Tax]:
        return self.taxes[index]

    def __len__(self) -> int:
        return len(self.taxes)

    def __iter__(self) -> Iterator[Tax]:
        return iter(self.taxes)

    @property
    def question(self) -> str:
        """The comparison in one line."""
        limit = "" if self.unique is None else f", with {number(self.unique)} unique tokens"
        return f"{self.posterior.name}: compute for the loss of {self.baseline} at its budget{limit}"

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of the factors and of the baseline's loss; dims ``draw``, ``configuration``, ``budget``."""
        budget = ("budget", self.taxes[0].compute, {"long_name": f"compute of {self.baseline}", "units": "FLOPs"})
        return dataset(
            {
                "factor": (("draw", "configuration", "budget"), np.stack([each.factor for each in self.taxes], axis=1)),
                "loss": (("draw", "budget"), self.taxes[0].loss),
            },
            {"configuration": [each.configuration for each in self.taxes], "budget": budget},
            UNITS,
        )

    def summary(self, probability: float = 0.9) -> dict[str, list[dict[str, Any]]]:
        """Return configuration -> its factor by budget."""
        return {each.configuration: each.summary(probability) for each in self.taxes}

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document of the taxes."""
        return {
            "posterior": self.posterior.name,
            "language": self.language,
            "baseline": self.baseline,
            "unique": self.unique,
            "configurations": self.summary(probability),
            "law_error": self.law_error,
            "if_law_holds": None if self.if_law_holds is None else self.if_law_holds.summary(probability),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for each configuration and budget."""
        alone = {} if self.if_law_holds is None else self.if_law_holds.summary(probability)
        rows = []
        for name, budgets in self.summary(probability).items():
            for column, row in enumerate(budgets):
                cells = _cells(row["factor"], probability)
                if alone:
                    _, ends = _cells(alone[name][column]["factor"], probability).values()
                    cells["if the law holds"] = ends
                rows.append(
                    {"configuration": name, "budget": f"{row['compute']:.3g}"}
                    | cells
                    | {"identified": "yes" if row["identified"] else "no"}
                )
        return rows


def _cells(factor: Mapping[str, float | None], probability: float) -> dict[str, str]:
    """Return the cells of a factor; its ends may be infinite."""
    median, lower, upper = (
        "never" if factor[name] is None else number(factor[name] or 0.0, 3) for name in ("median", "lower", "upper")
    )
    return {"factor": median, interval(probability): f"{lower} to {upper}"}


def efficiency_tax(
    posterior: Posterior,
    *,
    language: str,
    compute: float | Sequence[float] | NDArray[np.float64],
    baseline: str | None = None,
    unique: float | None = None,
    law_error: str = LEARNED,
) -> Taxes:
    """Find the tax of every configuration of `language` except the baseline.

    Args:
        posterior: a posterior fitted by label, whose law has a compute-optimal point.
        language: a language without label, such as ``fr``.
        compute: budget or budgets of the baseline in FLOPs, 6 per parameter and token.
        baseline: one of the configurations, such as ``fr:monolingual``; by default the first.
        unique: unique tokens of the language; None if unlimited.
        law_error: ``learned`` or ``none``; see `decisions.objective.objective`.

    Raises:
        InputError: fewer than two configurations, an unknown baseline, or a number that is not positive.
    """
    configurations = [name for name in posterior.info.languages if source_of(name) == language]
    if len(configurations) < 2:
        several = sorted({own for own in map(source_of, posterior.info.languages) if _count(posterior, own) > 1})
        advice = f"choose one of: {', '.join(several)}" if several else "fit with --by vocabulary or --by mixture"
        raise InputError(f"{posterior.name} does not have two configurations of {language!r} to compare; {advice}")
    chosen = configurations[0] if baseline is None else baseline
    if chosen not in configurations:
        raise InputError(f"{chosen!r} is not a configuration of {language}; choose one of: {', '.join(configurations)}")
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    for budget in budgets.tolist():
        in_range("compute", budget, BUDGETS)
    configurations = [chosen, *(name for name in configurations if name != chosen)]
    asked = {name: problem(posterior, language=name, unique=unique, law_error=law_error) for name in configurations}
    found = _taxes(asked, budgets)
    if asked[chosen].objective.error is None:
        return found
    return replace(found, if_law_holds=_taxes({name: each.if_law_holds for name, each in asked.items()}, budgets))


def _taxes(asked: Mapping[str, Problem], budgets: Floats) -> Taxes:
    """Return the taxes of all configurations; the first is the baseline."""
    baseline, *others = asked
    of_baseline = asked[baseline]
    posterior = of_baseline.objective.posterior
    chains = posterior.chains
    reached = _losses(of_baseline, budgets)
    taxes = [Tax(baseline, name, budgets, reached, _factor(asked[name], budgets, reached), chains) for name in others]
    notes = posterior_notes(posterior)
    largest = budgets.argmax()
    named = {f"the factor of {each.configuration} at the largest budget": each.factor[:, largest] for each in taxes}
    notes += numerics_notes(named, chains)
    for name, each in asked.items():
        spent = np.array([budgets.max() * (1.0 if name == baseline else _typical(taxes, name))])
        tokens = each.best_tokens(spent)
        notes += plan_notes(each, each.size(tokens, spent), tokens)
    unique = next(iter(of_baseline.objective.unique.values()), None)
    return Taxes(
        posterior,
        source_of(baseline),
        baseline,
        unique,
        taxes,
        list(dict.fromkeys(notes)),
        of_baseline.objective.law_error,
    )


def _typical(taxes: Sequence[Tax], name: str) -> float:
    """Return the median factor of a configuration at the largest budget, at most `TOO_WIDE`."""
    (found,) = (each for each in taxes if each.configuration == name)
    return float(min(np.median(found.factor[:, found.compute.argmax()]), TOO_WIDE))


def _count(posterior: Posterior, language: str) -> int:
    return [source_of(name) for name in posterior.info.languages].count(language)


def _losses(asked: Problem, budgets: Floats) -> Floats:
    """Return the least loss ``(draw, budget)``."""
    tokens = asked.best_tokens(budgets)
    return asked.loss(asked.size(tokens, budgets).T, tokens.T).T


def _factor(asked: Problem, budgets: Floats, loss: Floats) -> Floats:
    """Return the factor on `budgets` at which the least loss equals `loss`, ``(draw, budget)``."""
    (name,) = asked.objective.weights
    irreducible = asked.objective.parameters[name]["E"][:, None]
    wanted = np.maximum(loss - irreducible, 0.0)
    draws = np.repeat(np.arange(len(loss)), len(budgets))

    def excess(log_factor: Floats, draws: Floats, budget: Floats, wanted: Floats) -> Floats:
        index = draws.astype(np.int64)
        compute = budget * np.exp(log_factor)
        tokens = asked.best_tokens_by_element(index, compute)
        left = asked.loss(asked.size(tokens, compute), tokens, index) - irreducible[index, 0]
        return np.log(left / wanted)

    open_ = wanted.ravel() > 0
    arguments = tuple(values[open_] for values in (draws, np.tile(budgets, len(loss)), wanted.ravel()))
    factor = np.full(wanted.size, np.inf)
    limit = np.log(NEVER)
    start = np.zeros(int(open_.sum()))
    from scipy.optimize import elementwise

    bracket = elementwise.bracket_root(excess, start - 0.5, start + 0.5, xmin=-limit, xmax=limit, args=arguments)
    found = elementwise.find_root(
        excess, bracket.bracket, args=arguments, tolerances={"xatol": CLOSENESS, "xrtol": 0.0}
    )
    factor[open_] = np.where(bracket.success, np.exp(found.x), np.inf)
    return factor.reshape(wanted.shape)
