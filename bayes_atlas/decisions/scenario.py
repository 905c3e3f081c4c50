"""A planner's question in a file, and all answers to it.

A scenario is a TOML file with a budget, weights, data and limits. The answer has up to four parts: the mixture to
sample, if the scenario leaves it open; its compute-optimal size and data for each draw; the plan to act on; and the
cautious plan. With a posterior of the law ``capacity``, the answer is the growth to more languages.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bayes_atlas.data.names import source_of
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import RATIOS, Decision, in_range
from bayes_atlas.decisions.bayes_action import Action
from bayes_atlas.decisions.expand import Expansion, expand
from bayes_atlas.decisions.mixture import Mixture, mixture
from bayes_atlas.decisions.objective import LEARNED
from bayes_atlas.decisions.optimum import Optimum, optimum
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limits(_Section):
    """Limits on the plan."""

    params: float | None = None  # largest model that can be served
    tokens: float | None = None  # largest number of tokens that the schedule allows
    epochs: float | None = None  # passes over the unique tokens of a source, in the search for a mixture
    served: float | None = None  # tokens of inference, paid from the same budget


class Growth(_Section):
    """Growth to more languages, from a given run or a compute-optimal one."""

    factor: float
    language: str | None = None
    params: float | None = None
    tokens: float | None = None
    languages: float | None = None


class Scenario(_Section):
    """The keys of a scenario file."""

    title: str = ""
    compute: float | None = None  # budget in FLOPs
    probability: float = 0.9  # of the intervals
    law_error: str = LEARNED  # or "none", for intervals that hold if the law does
    weights: dict[str, float] = Field(default_factory=dict)  # language -> weight of its loss
    unique: dict[str, float] = Field(default_factory=dict)  # source -> unique tokens
    shares: dict[str, float] = Field(default_factory=dict)  # source -> share of the tokens; searched for if absent
    bounds: dict[str, list[float]] = Field(default_factory=dict)  # source -> least and largest share
    compare: dict[str, dict[str, float]] = Field(default_factory=dict)  # name -> a mixture to compare with
    limits: Limits = Limits()
    expand: Growth | None = None


@dataclass(frozen=True, repr=False)
class Answer(Decision):
    """The answer to a scenario. Parts not asked for are None. Intervals have the scenario's probability by default."""

    scenario: Scenario
    posterior: Posterior
    mixture: Mixture | None = None
    optimum: Optimum | None = None
    expansion: Expansion | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def action(self) -> Action | None:
        """The plan with the least expected loss."""
        return None if self.optimum is None else self.optimum.action

    @property
    def cautious(self) -> Action | None:
        """The plan with the least mean regret over the worst draws."""
        return None if self.optimum is None else self.optimum.cautious_action

    @property
    def question(self) -> str:
        """The title of the scenario, and the name of the posterior."""
        return f"{self.posterior.name}: {self.scenario.title or 'a scenario'}"

    @property
    def draws(self) -> "xr.Dataset":
        """Draws of all parts. Names of variables start with the name of their part, such as ``optimum_params``."""
        parts = {
            "mixture": self.mixture,
            "optimum": self.optimum,
            "action": self.action,
            "cautious_action": self.cautious,
            "expand": self.expansion,
        }
        drawn = {name: part.draws for name, part in parts.items() if isinstance(part, Decision)}
        renamed = [
            draws.rename_vars({variable: f"{name}_{variable}" for variable in draws.data_vars})
            for name, draws in drawn.items()
        ]
        import xarray as xr

        return xr.merge(renamed, join="exact", compat="equals")

    def summary(self, probability: float | None = None) -> dict[str, Any]:
        """Return the summaries of all parts, by name."""
        probability = self.scenario.probability if probability is None else probability
        found: dict[str, Any] = {}
        if self.mixture is not None:
            found["mixture"] = self.mixture.summary(probability)
        if self.optimum is not None:
            found["optimum"] = self.optimum.summary(probability)
            found["action"] = self.optimum.action.summary(probability)
            found["cautious_action"] = self.optimum.cautious_action.summary(probability)
        if self.expansion is not None:
            found["expand"] = self.expansion.summary(probability)
        return found

    def to_dict(self, probability: float | None = None) -> dict[str, Any]:
        """Return the JSON document: the scenario, all answers, and the notes."""
        asked = {"posterior": self.posterior.name, "scenario": self.scenario.model_dump(exclude_defaults=True)}
        return asked | self.summary(probability) | {"notes": self.notes}

    def rows(self, probability: float | None = None) -> list[dict[str, str]]:
        """Return the mixture, the compute-optimal plan, and the plan to act on; or the factors of a growth."""
        probability = self.scenario.probability if probability is None else probability
        of_optimum = [] if self.optimum is None else [list(row.values()) for row in self.optimum.rows(probability)]
        heads = ["answer", "median", interval(probability)]
        if self.optimum is not None and self.optimum.if_law_holds is not None:
            heads.append("if the law holds")
        found: list[dict[str, str]] = []

        def add(label: str, value: str) -> None:
            found.append(dict.fromkeys(heads, "") | {"answer": label, "median": value})

        if self.mixture is not None:
            for source, share in self.mixture.plan.shares.items():
                add(f"share of {source}", f"{share:.2%}")
        if self.optimum is not None:
            found += [dict(zip(heads, row, strict=True)) for row in of_optimum]
            add("params N to act on", number(self.optimum.action.params))
            add("tokens D to act on", number(self.optimum.action.tokens))
        if self.expansion is not None:
            growth = self.expansion.rows(probability)
            found += [dict(zip(("answer", *list(row)[1:]), row.values(), strict=True)) for row in growth]
        return found


def read_scenario(path: str | Path) -> Scenario:
    """Read a scenario file.

    Raises:
        InputError: the file cannot be read, is not TOML, or has invalid keys or values. The message lists all faults,
            with the valid names.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the path of a scenario file (TOML)") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}; correct that line") from error
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        faults = [_fault(fault["type"], fault["loc"], fault["msg"]) for fault in error.errors(include_url=False)]
        raise InputError("\n".join([f"{path} is not a usable scenario:", *faults])) from error


def _fault(kind: str, place: tuple[int | str, ...], message: str) -> str:
    name = ".".join(map(str, place))
    if kind != "extra_forbidden":
        return f"- {name}: {message}"
    sections: dict[str, type[BaseModel]] = {"limits": Limits, "expand": Growth}
    section = sections.get(str(place[0]), Scenario) if len(place) > 1 else Scenario
    return f"- {name} is not known here; choose from: {', '.join(section.model_fields)}"


def plan(scenario: Scenario, posterior: Posterior) -> Answer:
    """Answer a scenario from a posterior.

    Raises:
        InputError: the posterior's law cannot answer the question, or the posterior lacks a name in it.
    """
    if scenario.expand is not None:
        growth = expand(posterior, **scenario.expand.model_dump(), law_error=scenario.law_error)
        return Answer(scenario, posterior, expansion=growth, notes=growth.notes)
    if scenario.compute is None:
        raise InputError("the scenario gives no budget; add a line such as compute = 1e22, or a section [expand]")
    limits = scenario.limits
    shared = {"max_params": limits.params, "max_tokens": limits.tokens, "served": limits.served}
    weights = scenario.weights or dict.fromkeys(posterior.info.languages, 1.0)
    request: dict[str, Any] = shared | {"weights": weights, "unique": scenario.unique, "law_error": scenario.law_error}
    found = None
    if not scenario.shares and _sources(scenario, weights) > 1:
        found = mixture(
            posterior,
            compute=scenario.compute,
            bounds={name: _pair(name, ends) for name, ends in scenario.bounds.items()},
            compare=scenario.compare,
            max_epochs=limits.epochs,
            **request,
        )
        request["shares"] = {name: share for name, share in found.plan.shares.items() if share > 0}
    elif scenario.shares:
        request["shares"] = scenario.shares
    best = optimum(posterior, compute=scenario.compute, **request | {"max_tokens": _most_tokens(scenario, request)})
    notes = list(dict.fromkeys([*(found.notes if found else []), *best.notes]))
    return Answer(scenario, posterior, found, best, notes=notes)


def _most_tokens(scenario: Scenario, request: dict[str, Any]) -> float | None:
    """Return the limit on tokens from `limits.tokens` and `limits.epochs`, with the mixture of a request."""
    limits, names = scenario.limits, [source_of(name) for name in request["weights"]]
    shares: dict[str, float] = request.get("shares") or dict.fromkeys(names, 1.0)
    total = sum(shares.values())
    most = [] if limits.tokens is None else [limits.tokens]
    if limits.epochs is not None:
        epochs = in_range("limits.epochs", limits.epochs, RATIOS, such_as="4")
        most += [epochs * scenario.unique[name] * total / shares[name] for name in shares if name in scenario.unique]
    return min(most, default=None)


def _sources(scenario: Scenario, weights: dict[str, float]) -> int:
    """Return the largest number of sources in the mixture."""
    compared = (name for shares in scenario.compare.values() for name in shares)
    return len({*map(source_of, weights), *scenario.unique, *scenario.bounds, *compared})


def _pair(name: str, ends: list[float]) -> tuple[float, float]:
    if len(ends) != 2:
        raise InputError(f"bounds of {name} are {ends}; give the least and the largest share, such as [0.1, 0.5]")
    return ends[0], ends[1]
