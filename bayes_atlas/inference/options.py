"""Options of a fit, stated once for Python and the command, with one set of defaults.

The defaults are set where they are checked: in `Settings` of the sampler, in `Selection` of runs, and in `Options`.
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
    """Options of the sampler; all optional.

    chains: independent chains; convergence checks need several. Default 4.
    warmup: iterations per chain that adapt the sampler, a multiple of 50. Default 1000: enough for twelve languages
        with repetition to pass all checks; four hundred languages need more.
    draws: kept draws per chain, a multiple of 50, if their number is to be fixed. By default chains draw in rounds of
        1000 until the checks pass.
    max_draws: limit of draws per chain, those of dropped attempts included, unless `draws` fixes them. Default 10000.
    max_minutes: limit of time, unless `draws` fixes the number of draws; warm-up is always finished. Default 30.
    seed: the same seed on the same machine gives the same draws. Default 0.
    target_accept: target acceptance of the step size. Default .9: the posteriors of hierarchical laws are curved.
    max_tree_depth: a trajectory has at most 2 to this power steps. Default 10, as in Stan.
    platform: ``cpu``, ``gpu`` or ``tpu``. Default ``cpu``, the fastest for one small fit.
    compile_cache: keep compiled programs for later processes (`keep_compiled`). Default True.
    report: function that takes a `Progress` after each block of draws. By default nothing is reported.
    """

    chains: int
    warmup: int
    draws: int | None
    max_draws: int
    max_minutes: float
    seed: int
    target_accept: float
    max_tree_depth: int
    platform: str
    compile_cache: bool
    report: Report


class RunOptions(SamplerOptions, total=False):
    """Options of the runs and of the sampler; all optional.

    by: labels (``vocabulary``, ``mixture``, ..); each value gets parameters of its own, as ``language:label``.
    sources: number of named sources of each language, the most co-sampled ones, in models with transfer. Default 3, as
        in the paper.
    others: lump the remaining sources together instead of ignoring them. Default True. Without sources and others, a
        model with transfer is the paper's ablation (Table 1).
    all_tokens: count every training token as the language's own. Default False.
    burn_in: early checkpoints have an extra loss of their own (`bayes_atlas.modelling.burn_in`), where
        runs have several. Default False: it helps where first checkpoints are far above the law, and hurts elsewhere.
    """

    by: Sequence[str]
    sources: int
    others: bool
    all_tokens: bool
    burn_in: bool


class FitOptions(RunOptions, total=False):
    """Options of a fit; all optional.

    languages: languages whose losses are fitted; the others remain sources. All by default.
    keep: draws per chain to store, evenly spaced; the checks use all draws. All by default, if their number is fixed,
        else 1000.
    with_data: store the run table and the pointwise log likelihood with the posterior; PSIS-LOO and predictive checks
        need them. Default True. `fit_many` defaults to False, since the posteriors of many tables would not fit in
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
    """Options of a fit, checked."""

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
        """Return the options `given`, with defaults for all others.

        Raises:
            TypeError: an option is unknown; the message names the closest.
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
