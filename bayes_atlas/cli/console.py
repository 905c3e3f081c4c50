"""Output of every command: tables and lines, or one JSON document, on stdout; messages on stderr."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayes_atlas.data.text import WIDTH, number, plural, printable
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.data.plausibility import Doubt

__all__ = [
    "chance",
    "err",
    "new_table",
    "number",
    "out",
    "plural",
    "print_columns",
    "print_json",
    "print_notes",
    "print_rows",
    "print_warnings",
    "say",
    "value_range",
    "writing",
]

UNLIMITED = 100_000  # width beyond that of any table
NARROWEST = 20


class PlainConsole(Console):
    """A console that shows text of the user as it is: brackets are no markup, and control characters are escaped."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        if self.width < NARROWEST:  # a terminal that does not know its width says 0
            self.width = WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` for the terminal."""
        return super().render_str(printable(text), **options)


out = PlainConsole()
err = PlainConsole(stderr=True)


@contextmanager
def writing(target: Path, advice: str = "choose another path, or free the space for it") -> Iterator[None]:
    """Turn a failure to write `target` into an `InputError` with `advice`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {target}: {error}; {advice}") from error


def print_notes(notes: Sequence[str]) -> None:
    """Print the caveats of an answer."""
    for note in notes:
        say(f"Note: {note}.")


def print_warnings(doubts: "Sequence[Doubt]", console: Console = out) -> None:
    """Print what is doubtful in a run table."""
    for doubt in doubts:
        console.print(f"Warning: {doubt}.", soft_wrap=True)


def say(text: str) -> None:
    """Print a line on stdout. Only the terminal wraps it, so paths in it can be copied."""
    out.print(text, soft_wrap=True)


def new_table(*columns: str) -> Table:
    """Return an empty table with these columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Print a table of rows, each column -> cell; print nothing if there are no rows."""
    if not rows:
        return
    table = new_table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    out.print(table)


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table without breaking its cells. If the terminal is too narrow, print further columns below.

    Each part repeats the first column. A cell breaks only if the first column and one other exceed the terminal.
    """
    first, *rest = zip(heads, *rows, strict=True)
    while rest:
        count = next((count for count in range(len(rest), 1, -1) if _fits([first, *rest[:count]])), 1)
        out.print(_table_of([first, *rest[:count]]))
        rest = rest[count:]


def _table_of(columns: Sequence[Sequence[str]]) -> Table:
    heads, *rows = zip(*columns, strict=True)
    table = new_table(*heads)
    for row in rows:
        table.add_row(*row)
    return table


def _fits(columns: Sequence[Sequence[str]]) -> bool:
    return out.measure(_table_of(columns), options=out.options.update(width=UNLIMITED)).maximum <= out.width


def value_range(values: tuple[float, float] | None) -> str:
    """Return the text of a range (least, greatest), or a dash if there is none."""
    if values is None:
        return "-"
    lower, upper = values
    return number(lower, 3) if lower == upper else f"{number(lower, 3)} to {number(upper, 3)}"


def chance(probability: float) -> str:
    """Return the text of a probability, to three digits."""
    return number(probability, 3)


def print_json(document: dict[str, Any]) -> None:
    """Print the JSON document of a command."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
