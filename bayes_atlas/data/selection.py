"""The part of a run table that is fitted, and how it is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from bayes_atlas.errors import InputError

NAMED_SOURCES = 3  # sources that a language names, the most co-sampled: the paper's choice; the rest are lumped


@dataclass(frozen=True)
class Selection:
    """The part of a run table that is fitted, and how it is read.

    Attributes:
        languages: those whose losses are fitted; all of them where empty.
        by: labels whose values get parameters of their own.
        sources: how many named sources each language has.
        others: whether the remaining sources count, lumped.
        all_tokens: whether every training token counts as the language's own.
    """

    languages: Sequence[str] = ()
    by: Sequence[str] = ()
    sources: int = NAMED_SOURCES
    others: bool = True
    all_tokens: bool = False

    def __post_init__(self) -> None:
        if self.sources < 0:
            raise InputError(f"sources is {self.sources}; give a count of at least 0, such as {NAMED_SOURCES}")
