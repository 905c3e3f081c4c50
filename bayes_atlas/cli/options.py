"""Groups of options that several commands share. Their defaults are those of the engine.

A command takes a group as one argument. `expanded` replaces this argument by the group's fields, for typer.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from bayes_atlas.cli.arguments import (
    LARGEST_SEED,
    LEARNED,
    AsJson,
    By,
    LawError,
    MaxParams,
    MaxTokens,
    Plot,
    Probability,
    Served,
    Shares,
    Unique,
    Weights,
)
from bayes_atlas.cli.typed import pairs, to_number
from bayes_atlas.data.selection import Selection
from bayes_atlas.inference.options import Options, RunOptions, SamplerOptions
from bayes_atlas.sampler.settings import Settings

if TYPE_CHECKING:
    from bayes_atlas.decisions.problem import Request


@dataclass(frozen=True)
class Sampling:
    """Options of the sampler; see `bayes_atlas.inference.options.SamplerOptions`."""

    chains: Annotated[int, typer.Option(help="Number of chains.")] = Settings.chains
    warmup: Annotated[int, typer.Option(help="Warm-up draws per chain.")] = Settings.warmup
    draws: Annotated[
        int | None,
        typer.Option(
            help="Fixed number of draws per chain.", show_default="rounds of 1,000 until the checks pass, at most 10"
        ),
    ] = Settings.draws
    max_minutes: Annotated[
        float, typer.Option(help="Time after which sampling ends, unless --draws fixes its length.")
    ] = Settings.max_minutes
    seed: Annotated[
        int, typer.Option(max=LARGEST_SEED, help="Seed; on one machine the same seed gives the same draws.")
    ] = Settings.seed
    platform: Annotated[str, typer.Option(help="Device: cpu, gpu or tpu.")] = Options.platform

    def options(self) -> SamplerOptions:
        """Return the arguments of Python's functions."""
        return SamplerOptions(
            chains=self.chains,
            warmup=self.warmup,
            draws=self.draws,
            max_minutes=self.max_minutes,
            seed=self.seed,
            platform=self.platform,
        )


@dataclass(frozen=True)
class Runs:
    """Options of the run table; see `bayes_atlas.inference.options.RunOptions`."""

    by: By = None
    sources: Annotated[
        int, typer.Option(help="Number of named sources per language, the most co-sampled (models with transfer).")
    ] = Selection.sources
    others: Annotated[bool, typer.Option(help="Include all other sources together (models with transfer).")] = (
        Selection.others
    )
    all_tokens: Annotated[
        bool, typer.Option("--all-tokens", help="Count every training token as the language's own.")
    ] = Selection.all_tokens
    burn_in: Annotated[
        bool, typer.Option("--burn-in", help="Give early checkpoints an extra loss, which fades with tokens.")
    ] = Selection.burn_in

    def options(self) -> RunOptions:
        """Return the arguments of Python's functions."""
        return RunOptions(
            by=self.by or (),
            sources=self.sources,
            others=self.others,
            all_tokens=self.all_tokens,
            burn_in=self.burn_in,
        )


@dataclass(frozen=True)
class HeldOut:
    """Which rows are held out, and whether predictions of them include errors of the law."""

    holdout: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            help="Held-out rows: params, tokens or compute (the largest), mixture, random, or language (each in turn).",
            show_default="random",
        ),
    ] = None
    test: Annotated[
        Path | None,
        typer.Option(metavar="TEST", help="Run table to score, instead of a part of RUNS.", show_default=False),
    ] = None
    law_error: LawError = LEARNED


@dataclass(frozen=True)
class Training:
    """Options of the training problem; see `bayes_atlas.decisions.problem.Request`."""

    language: Annotated[
        str | None,
        typer.Option(help="Language whose loss counts; required if the posterior has several.", show_default=False),
    ] = None
    weight: Weights = None
    unique: Unique = None
    share: Shares = None

    def request(self) -> "Request":
        """Return the arguments of Python's functions."""
        plain = self.unique is not None and len(self.unique) == 1 and "=" not in self.unique[0]
        return {
            "language": self.language,
            "weights": pairs("--weight", self.weight) or None,
            "unique": to_number("--unique", self.unique[0])
            if self.unique and plain
            else pairs("--unique", self.unique),
            "shares": pairs("--share", self.share) or None,
        }


@dataclass(frozen=True)
class Limits:
    """Limits on size and tokens, and served tokens; see `bayes_atlas.decisions.problem.Request`."""

    max_params: MaxParams = None
    max_tokens: MaxTokens = None
    served: Served = None


@dataclass(frozen=True)
class Shown:
    """Options of the output."""

    probability: Probability = 0.9
    plot: Plot = None
    as_json: AsJson = False


def expanded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return `command` with the fields of its groups of options as separate arguments, for typer."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint) and isinstance(hint, type)}
    if not groups:
        return command
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _parameters(groups[parameter.name])
        else:
            annotated = parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
            parameters.append(annotated)

    @functools.wraps(command)
    def call(**given: Any) -> Any:
        built = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)}) for name, group in groups.items()
        }
        return command(**given, **built)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(group)
    ]
