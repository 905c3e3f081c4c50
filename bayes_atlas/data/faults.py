"""Faults of a table: the place of each, the rule that it breaks and the next step, all in one error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError

SHOWN = 3  # rows that a message lists for each kind of fault


@dataclass(frozen=True)
class Fault:
    """One fault of a table."""

    row: int | None  # data row, counted from 1; None if the fault concerns the whole file
    column: str | None
    value: str  # as written in the file
    rule: str
    advice: str
    line: int | None = None  # line of the file, counted from 1; None if the file has no lines


class TableError(InputError):
    """An unusable table, with all its `faults`. Subclasses name the expected kind of table."""

    KIND: ClassVar[str] = "table"
    NEEDED: ClassVar[str] = "the columns of the format"

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        super().__init__(name, faults)
        self.name = name
        self.faults = list(faults)

    def __str__(self) -> str:
        kinds: dict[tuple[str | None, str, str], list[Fault]] = {}
        for fault in self.faults:
            column = None if fault.row is None else fault.column
            kinds.setdefault((column, fault.rule, fault.advice), []).append(fault)
        head = f"{self.name} is not a usable {self.KIND}: {plural(len(self.faults), 'fault')}"
        return "\n".join([head, *map(_describe_kind, kinds.values())])


def _describe_kind(faults: Sequence[Fault]) -> str:
    """Format faults with the same rule and advice. Row faults also share the column; file faults list theirs."""
    columns = list(dict.fromkeys(repr(fault.column) for fault in faults if fault.column is not None))
    lines = [f"- {'column ' + ', '.join(columns) if columns else 'file'}: {faults[0].rule}"]
    placed = [fault for fault in faults if fault.row is not None or fault.line is not None or fault.value]
    for fault in placed[:SHOWN]:
        row = f"row {fault.row}" if fault.row is not None else ""
        line = f"line {fault.line}" if fault.line is not None else ""
        place = f"{row} ({line})" if row and line else row or line or "found"
        lines.append(f"    {place}: {shorten(fault.value) or '(empty)'}")
    if len(placed) > SHOWN:
        lines.append(f"    and {len(placed) - SHOWN} more")
    lines.append(f"    next: {faults[0].advice}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Table:
    """Cells as written, and the place of each row in the file."""

    name: str
    cells: pd.DataFrame
    rows: NDArray[np.int64]  # data row of each row of `cells`, from 1; rows that cannot be split into cells are absent
    lines: NDArray[np.int64] | None  # line of the file of each row of `cells`

    def fault(self, position: int | np.integer, column: str, value: str, rule: str, advice: str) -> Fault:
        """Return a fault of the row at `position` in `cells`."""
        line = None if self.lines is None else int(self.lines[position])
        return Fault(int(self.rows[position]), column, value, rule, advice, line)


def row_faults(table: Table, column: str, wrong: Flags, rule: str, advice: str) -> list[Fault]:
    """Return a fault of `column` for every row in the mask `wrong`, with the cell's text as its value."""
    if not wrong.any():
        return []
    cells = text_of(table.cells[column])
    return [table.fault(i, column, cells.iloc[i], rule, advice) for i in np.flatnonzero(wrong)]


def text_of(cells: pd.Series) -> pd.Series:
    """Return cells as text without surrounding blanks; absent cells are empty."""
    return cells.astype("string").fillna("").str.strip()


def shorten(text: str, width: int = 80) -> str:
    """Return `text` on one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."
