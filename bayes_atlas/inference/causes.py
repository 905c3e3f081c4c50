"""Causes of failed checks that more draws would not pass, in words: two modes, too few runs, a bound."""

import re
from collections.abc import Iterator, Mapping, Sequence

import arviz as az
import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.folder.info import Check

FEW = 3  # curves of a language that show no more than its level and one slope
FEW_LANGUAGES = 3  # they hardly show how much languages differ
APART, STEADY = 1.2, 1.05  # R-hat of all chains above which, and of each chain below which, chains sit in modes
AT_BOUND = 0.02  # ratio of the 10 % to the 90 % quantile of the distance from a bound
POPULATION = ("_location", "_scale")


def explained(checks: Sequence[Check], posterior: xr.Dataset, curves: Mapping[str, int]) -> list[Check]:
    """Replace the advice of failed checks by their cause and its remedy, where one is found.

    Args:
        checks: of the draws.
        posterior: the draws.
        curves: number of curves by language; empty for tables other than run tables.
    """
    return [
        check
        if check.passed or not (cause := _cause(check, posterior, curves))
        else check.model_copy(update={"advice": cause})
        for check in checks
    ]


def _cause(check: Check, posterior: xr.Dataset, curves: Mapping[str, int]) -> str:
    named = re.split(r", (?![^\[]*\])", check.where)  # at commas outside brackets
    places = {label: (language, values) for label, language, values in _scalars(posterior, named)}
    for label, (_, values) in places.items():
        if cause := _modes(label, values):
            return cause
    for label, (language, _) in places.items():
        if cause := _few(label, language, curves):
            return cause
    return next((cause for label, (_, values) in places.items() if (cause := _bound(label, values))), "")


def _scalars(posterior: xr.Dataset, named: Sequence[str]) -> Iterator[tuple[str, str, Floats]]:
    """Yield label, language and draws ``(chain, draw)`` of each parameter in `named`."""
    for name, array in posterior.data_vars.items():
        if not any(label.split("[")[0] == name for label in named):
            continue
        dims = array.dims[2:]
        for index in np.ndindex(array.shape[2:]):
            at = {str(dim): str(array[dim].to_numpy()[i]) for dim, i in zip(dims, index, strict=True)}
            label = f"{name}[{', '.join(at.values())}]" if at else str(name)
            if label in named:
                yield label, at.get("language", ""), array.to_numpy()[(..., *index)].astype(float)


def _modes(label: str, values: Floats) -> str:
    chains = len(values)
    if chains < 2 or not np.isfinite(values).all() or (values.std(axis=1) == 0).any():
        return ""
    half = values.shape[1] // 2
    halves = [np.stack([chain[:half], chain[-half:]]) for chain in values]
    if az.rhat(values) < APART or max(float(az.rhat(two)) for two in halves) > STEADY:
        return ""
    medians = np.median(values, axis=1)
    order = np.argsort(medians)
    cut = int(np.argmax(np.diff(medians[order]))) + 1
    low, high = (
        f"near {np.median(values[part]):.3g} in chain {', '.join(map(str, sorted(part)))}"
        for part in (order[:cut], order[cut:])
    )
    return (
        f"two explanations fit the runs, and chains do not move between them: {label} is {low}, {high}. Look for runs "
        f"that do not belong together (another vocabulary, another loss, a failed run) and set them apart with --by or "
        f"leave them out; or add runs where the explanations differ, see `bayes-atlas check`"
    )


def _few(label: str, language: str, curves: Mapping[str, int]) -> str:
    few = [name for name, count in curves.items() if count <= FEW]
    if curves.get(language, FEW + 1) <= FEW:
        return (
            f"{language} has {curves[language]} runs, too few to show {label}: it follows the prior and the other "
            f"languages. Add runs of {language} of other sizes and tokens, or leave out its rows"
        )
    if not label.endswith(POPULATION):
        return ""
    if 2 * len(few) > len(curves):
        return (
            f"{len(few)} of {len(curves)} languages have {FEW} runs or fewer (such as {few[0]}), too few to show "
            f"{label}, how languages lie and differ. Add runs of these languages, or leave out their rows"
        )
    if 1 < len(curves) <= FEW_LANGUAGES:
        return (
            f"{len(curves)} languages are too few to show {label}, how languages lie and differ: it follows its prior. "
            f"Fit each language alone (--language), or add languages"
        )
    return ""


def _bound(label: str, values: Floats) -> str:
    if not np.isfinite(values).all() or values.min() < 0:
        return ""
    bounds = {"0": values} | ({"1": 1 - values} if values.max() <= 1 else {})
    for bound, distance in bounds.items():
        near, far = np.quantile(distance, (0.1, 0.9))
        if near < AT_BOUND * far:
            return (
                f"the runs allow {label} to be {bound}, its bound, where the sampler moves slowly. They do not show "
                f"this term of the law: add runs where it matters (small and large sizes, few and many tokens), or "
                f"fit a model without it, see `bayes-atlas list`"
            )
    return ""
