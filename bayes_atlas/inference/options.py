"""Options of a fit, stated once: by Python's functions, by the command, and with one set of defaults.

The defaults stand where they are checked, in `Settings` of the sampler and in `Selection` of runs, and in `Options`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, TypedDict, Unpack

from bayes_atlas.data.selection import Selection
from bayes_atlas.errors import InputError
from bayes_atlas.sampler.settings import Progress, Settings

type Report = Callable[[Progress], None]


def _silent(progress: Progress) -> None:
    pass


class SamplerOptions(TypedDict, total=False):
    """How to sample; all of it optional.

    chains: independent chains, of which convergence checks need several. Default 4.
    warmup: iterations per chain that adapt the sampler, in multiples of 50. Default 1000: twelve languages with
        repetition pass all checks by it, four hundred take longer.
    draws: draws per chain that are kept, in multiples of 50. Default 1000: interval ends then rest on an effective
        sample size of at least 400, which the checks ask for.
    seed: the same seed on the same machine gives the same draws. Default 0.
    target_accept: acceptance that step sizes aim for. Default .9: the posteriors of hierarchical laws are curved.
    max_tree_depth: a trajectory has at most 2 to this power steps. Default 10, as in Stan.
    platform: ``cpu``, ``gpu`` or ``tpu``. Default ``cpu``, which is the fastest for one small fit.
    compile_cache: whether compiled programs are kept for later processes (`keep_compiled`). Default True.
    report: called with a `Progress` after each block of draws. By default nothing is reported.
    """

    chains: int
    warmup: int
    draws: int
    seed: int
    target_accept: float
    max_tree_depth: int
    platform: str
    compile_cache: bool
    report: Report


class RunOptions(SamplerOptions, total=False):
    """How runs are read, and how to sample; all of it optional.

    by: labels (``vocabulary``, ``mixture``, ..) whose values get parameters of their own, as ``language:label``.
    sources: named sources of each language, the most co-sampled ones, in models with transfer. Default 3, the paper's.
    others: whether the remaining sources count too, lumped. Default True. Without sources and others, a model with
        transfer is the paper's ablation (Table 1).
    all_tokens: whether every training token counts as the language's own. Default False.
    """

    by: Sequence[str]
    sources: int
    others: bool
    all_tokens: bool


class FitOptions(RunOptions, total=False):
    """How to fit a table; all of it optional.

    languages: those whose losses are fitted; the others stay as sources. All of them by default.
    keep: draws per chain to keep, evenly spaced; checks are of all draws. All of them by default.
    with_data: whether the run table and the pointwise log likelihood are stored with the posterior, as PSIS-LOO and
        predictive checks need. Default True; False where many tables are fitted, whose posteriors would not fit in
        memory.
    law_error: whether the errors of the law are learned from the runs and stored with the posterior, as intervals of
        decisions beyond the runs need (`bayes_atlas.law_error`). Default True; False where many tables are fitted.
    """

    languages: Sequence[str]
    keep: int | None
    with_data: bool
    law_error: bool


@dataclass(frozen=True)
class Options:
    """The options of a fit, checked."""

    selection: Selection = field(default_factory=Selection)
    settings: Settings = field(default_factory=Settings)
    platform: str = "cpu"
    compile_cache: bool = True
    report: Report = _silent
    keep: int | None = None
    with_data: bool = True
    law_error: bool = True

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise InputError(f"keep is {self.keep}; it must be at least 1, or None for all draws")

    @classmethod
    def of(cls, **given: Unpack[FitOptions]) -> "Options":
        """The options that are given, and the defaults of the others.

        Raises:
            TypeError: an option that there is not; the message names the closest.
            InputError: a value is out of range.
        """
        known = [*_names(Selection), *_names(Settings), *_names(cls)]
        if unknown := [name for name in given if name not in known]:
            close = get_close_matches(unknown[0], known, n=1)
            guess = f"; did you mean {close[0]}?" if close else f"; choose some of: {', '.join(known)}"
            raise TypeError(f"there is no option {unknown[0]!r} of a fit{guess}")
        return cls(Selection(**_those(Selection, given)), Settings(**_those(Settings, given)), **_those(cls, given))


def _names(options: type[Any]) -> list[str]:
    return [each.name for each in fields(options) if each.name not in ("selection", "settings")]


def _those(options: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in _names(options)}
