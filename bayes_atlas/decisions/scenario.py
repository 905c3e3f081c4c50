"""A planner's question in a file, and all of its answers.

A scenario is TOML: a budget, what counts, what data there are, and limits. The answer is the mixture to sample, where
that is left open, the compute-optimal size and data for it draw by draw, the plan to act on and the cautious one; or,
from a posterior of the law ``capacity``, the growth to more languages.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bayes_atlas.data.names import source_of
from bayes_atlas.decisions.bayes_action import Action, bayes_action, cautious_action
from bayes_atlas.decisions.expand import Expansion, expand
from bayes_atlas.decisions.mixture import Mixture, mixture
from bayes_atlas.decisions.objective import positive
from bayes_atlas.decisions.optimum import Optimum, optimum
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limits(_Section):
    """Limits on the plan."""

    params: float | None = None  # the largest model that can be served
    tokens: float | None = None  # the most tokens there is time for
    epochs: float | None = None  # passes over the unique tokens of a source, in the search for a mixture
    served: float | None = None  # tokens of inference that the budget pays too


class Growth(_Section):
    """Growth to more languages, from a run or from a compute-optimal one."""

    factor: float
    language: str | None = None
    params: float | None = None
    tokens: float | None = None
    languages: float | None = None


class Scenario(_Section):
    """What a scenario file may say."""

    title: str = ""
    compute: float | None = None  # budget in FLOPs
    probability: float = 0.9  # of the intervals
    weights: dict[str, float] = Field(default_factory=dict)  # language -> how much its loss counts
    unique: dict[str, float] = Field(default_factory=dict)  # source -> unique tokens
    shares: dict[str, float] = Field(default_factory=dict)  # source -> share of the tokens; searched for where absent
    bounds: dict[str, list[float]] = Field(default_factory=dict)  # source -> least and largest share
    compare: dict[str, dict[str, float]] = Field(default_factory=dict)  # name -> a mixture to compare with
    limits: Limits = Limits()
    expand: Growth | None = None


@dataclass(frozen=True)
class Answer:
    """All that a scenario asks; what it does not ask is None."""

    scenario: Scenario
    mixture: Mixture | None = None
    optimum: Optimum | None = None
    action: Action | None = None
    cautious: Action | None = None
    expansion: Expansion | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON of it."""
        probability = self.scenario.probability
        document: dict[str, Any] = {"scenario": self.scenario.model_dump(exclude_defaults=True)}
        if self.mixture:
            document["mixture"] = self.mixture.to_dict(probability)
        if self.optimum and self.action and self.cautious:
            document["optimum"] = self.optimum.summary(probability)
            document["action"] = self.action.to_dict(probability)
            document["cautious_action"] = self.cautious.to_dict(probability)
        if self.expansion:
            document["expand"] = self.expansion.summary(probability)
        return document | {"notes": self.notes}


def read_scenario(path: str | Path) -> Scenario:
    """Read a scenario file.

    Raises:
        InputError: it cannot be read, is no TOML, or says what a scenario cannot; all faults at once, with the valid
            names.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the path of a scenario file (TOML)") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}; mend that line") from error
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
        InputError: the scenario asks what the posterior's law cannot answer, or names what the posterior lacks.
    """
    if scenario.expand is not None:
        growth = expand(posterior, **scenario.expand.model_dump())
        return Answer(scenario, expansion=growth, notes=growth.notes)
    if scenario.compute is None:
        raise InputError("the scenario gives no budget; add a line such as compute = 1e22, or a section [expand]")
    limits = scenario.limits
    shared = {"max_params": limits.params, "max_tokens": limits.tokens, "served": limits.served}
    weights = scenario.weights or dict.fromkeys(posterior.info.languages, 1.0)
    request: dict[str, Any] = shared | {"weights": weights, "unique": scenario.unique}
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
    return Answer(scenario, found, best, bayes_action(best), cautious_action(best), notes=notes)


def _most_tokens(scenario: Scenario, request: dict[str, Any]) -> float | None:
    """The limit on tokens that `limits.tokens` and `limits.epochs` give with the mixture of a request."""
    limits, names = scenario.limits, [source_of(name) for name in request["weights"]]
    shares: dict[str, float] = request.get("shares") or dict.fromkeys(names, 1.0)
    total = sum(shares.values())
    most = [] if limits.tokens is None else [limits.tokens]
    if limits.epochs is not None:
        epochs = positive("limits.epochs", limits.epochs, such_as="4")
        most += [epochs * scenario.unique[name] * total / shares[name] for name in shares if name in scenario.unique]
    return min(most, default=None)


def _sources(scenario: Scenario, weights: dict[str, float]) -> int:
    """How many sources may be sampled."""
    compared = (name for shares in scenario.compare.values() for name in shares)
    return len({*map(source_of, weights), *scenario.unique, *scenario.bounds, *compared})


def _pair(name: str, ends: list[float]) -> tuple[float, float]:
    if len(ends) != 2:
        raise InputError(f"bounds of {name} are {ends}; give the least and the largest share, such as [0.1, 0.5]")
    return ends[0], ends[1]
