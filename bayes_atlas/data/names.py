"""Names: of runs, languages and columns as tables write them, and of fitted groups.

A fitted group is a language, or a labelled group of its runs, written ``language:label``.
"""

from collections.abc import Iterable
from unicodedata import normalize

INVISIBLE = "a name must not contain control characters, zero-width characters or unusual blanks"
SAME_BUT_FOR_CASE = "two names must not differ only in upper and lower case"


def normalised(name: str) -> str:
    """Return `name` without surrounding blanks, in Unicode's form NFC, so that names that look equal are equal."""
    return normalize("NFC", name.strip())


def differing_in_case(names: Iterable[str]) -> dict[str, str]:
    """Return each of `names` that repeats an earlier one in other letter case, with the earlier one."""
    first: dict[str, str] = {}
    earlier = {name: first.setdefault(name.casefold(), name) for name in names}
    return {name: other for name, other in earlier.items() if name != other}


def source_of(language: str) -> str:
    """Return the source of a group's own tokens, its name without labels: ``fr`` for ``fr:multilingual``."""
    return language.partition(":")[0]
