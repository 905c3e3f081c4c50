"""The part of a run table that a model is fitted to, and the reading of its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from bayes_atlas.errors import InputError

NAMED_SOURCES = 3  # most co-sampled sources of a language with their own tau, as in the paper; the others are lumped


@dataclass(frozen=True)
class Selection:
    """The part of a run table that a model is fitted to, and the reading of its tokens.

    Attributes:
        languages: languages whose losses are fitted; if empty, all.
        by: labels whose values get parameters of their own.
        sources: number of named sources of each language.
        others: whether the remaining sources count, lumped.
        all_tokens: whether every training token counts as the language's own.
        burn_in: whether early checkpoints have an extra loss of their own (`bayes_atlas.modelling.burn_in`).
    """

    languages: Sequence[str] = ()
    by: Sequence[str] = ()
    sources: int = NAMED_SOURCES
    others: bool = True
    all_tokens: bool = False
    burn_in: bool = False

    def __post_init__(self) -> None:
        if self.sources < 0:
            raise InputError(f"sources is {self.sources}; give a count of at least 0, such as {NAMED_SOURCES}")
