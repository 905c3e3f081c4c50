"""How far a plan lies outside the runs of a language, axis by axis.

A decision beyond the runs is an extrapolation, whatever its interval says. `outside` compares a plan with the ranges of
the runs that were fitted, language by language, and says by how much each axis exceeds them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bayes_atlas.data.text import number
from bayes_atlas.posterior import Posterior

LISTED = 3  # languages that notes name
BEYOND = 1.05  # factor on the largest value of the runs; a plan beyond it extrapolates
BELOW = 2.0  # factor below the least value, where extrapolation is cheap to check
WORDS = {  # axis -> what exceeds the largest value, and what falls below the least
    "params": "parameters",
    "tokens": "tokens",
    "compute": "training compute",
    "epochs": "epochs",
    "tokens_per_param": "tokens per parameter",
    "languages": "languages",
}


def outside_of_any(posterior: Posterior, plans: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the notes of `outside` on the plans of several languages; of many, on the first few.

    Args:
        posterior: a posterior.
        plans: language -> its plan, as in `outside`.
    """
    found = [note for language, plan in plans.items() for note in outside(posterior, language, **plan)]
    found = list(dict.fromkeys(found))
    if len(found) > LISTED:
        return [
            *found[:LISTED],
            f"so does the plan of {len(found) - LISTED} more languages: see the ranges of their runs",
        ]
    return found


def outside(posterior: Posterior, language: str, **plan: Any) -> list[str]:
    """Return a note if a plan lies outside the runs of `language`, else nothing.

    Args:
        posterior: a posterior. If it stores no ranges by language, those of all its runs count.
        language: one of its languages.
        plan: values by axis, one of `WORDS`; numbers or draws, of which the median counts. The tokens are the
            language's own.

    Returns:
        At most one sentence, without a full stop.
    """
    runs = posterior.info.runs
    own = runs.ranges_by_language.get(language)
    ranges = runs.ranges if own is None else own
    whose = language if own is not None and len(posterior.info.languages) > 1 else posterior.name
    found = []
    for axis, values in plan.items():
        if axis not in ranges or values is None:
            continue
        value = float(np.median(values))
        least, most = ranges[axis]
        if value > most * BEYOND:
            found.append(f"{WORDS[axis]} {_times(value / most)} the largest of its runs ({_shown(axis, most)})")
        elif value < least / BELOW:
            found.append(f"{WORDS[axis]} 1/{_plain(least / value)} of the smallest of its runs ({_shown(axis, least)})")
    return [f"this extrapolates beyond the runs of {whose}: {'; '.join(found)}"] if found else []


def repeated_only(posterior: Posterior, languages: Iterable[str], unique: Mapping[str, float]) -> list[str]:
    """Return a note on languages whose runs all repeat data, if their unique tokens are taken to be unlimited.

    Args:
        posterior: a posterior.
        languages: the weighted languages.
        unique: source -> unique tokens; absent if unlimited.
    """
    notes = []
    for language in languages:
        least = posterior.info.runs.ranges_by_language.get(language, {}).get("epochs", (1.0, 1.0))[0]
        if least > BEYOND and language.split(":")[0] not in unique:
            notes.append(
                f"every run of {language} repeats its data (at least {least:.3g} epochs), and this answer assumes "
                f"unlimited data; give its unique tokens with --unique"
            )
    return notes


def _shown(axis: str, value: float) -> str:
    return f"{value:.3g} FLOPs" if axis == "compute" else number(value)


def _times(factor: float) -> str:
    return f"{_plain(factor)} times"


def _plain(factor: float) -> str:
    return f"{factor:.2f}" if factor < 10 else f"{factor:,.0f}"
