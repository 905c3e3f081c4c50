"""Read CSV or Parquet tables into cells, and report every fault of a file at once, with its place and a next step."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags, Floats
from bayes_atlas.errors import InputError

SHOWN = 3  # rows that a message lists for each kind of fault

_ABSENT = ("", "na", "nan", "null", "none")  # cells of number columns that mean "not given", in any letter case


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
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        return "\n".join([f"{self.name} is not a usable {self.KIND}: {count}", *map(_describe_kind, kinds.values())])


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


def read_cells(path: Path, error: type[TableError]) -> tuple[Table, list[Fault], str]:
    """Read the cells of the table at `path`: CSV in UTF-8 (``.csv``) or Parquet (``.parquet``, ``.pq``).

    Returns:
        The table, the faults of its lines, and the sha256 of the file's content.

    Raises:
        TableError: the file cannot be read at all; the exception has the class `error`.
    """
    content = _content(path, error)
    split = _split_csv if path.suffix.lower() == ".csv" else _parquet
    return *split(path.name, content, error), hashlib.sha256(content).hexdigest()


def _content(path: Path, error: type[TableError]) -> bytes:
    advice = "name a .csv file in UTF-8 or a .parquet file"
    if path.is_dir():
        raise error(str(path), [Fault(None, None, "", f"a {error.KIND} is one file, but this is a folder", advice)])
    if path.suffix.lower() not in (".csv", ".parquet", ".pq"):
        rule = f"the suffix must be .csv, .parquet or .pq, but it is {path.suffix!r}"
        raise error(str(path), [Fault(None, None, "", rule, f"convert the table, then {advice}")])
    try:
        return path.read_bytes()
    except FileNotFoundError:
        fault = Fault(None, None, "", "there is no such file", "check the path and its spelling")
    except OSError as failure:
        rule = f"the file cannot be read ({failure.strerror})"
        fault = Fault(None, None, "", rule, "check that you have permission to read it")
    raise error(str(path), [fault])


def _split_csv(name: str, content: bytes, error: type[TableError]) -> tuple[Table, list[Fault]]:
    """Split a CSV into text cells. Lines whose number of cells differs from the header's become faults."""
    text = _decode(name, content, error)
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if cells:  # skip blank lines
                records.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as failure:
        fault = Fault(None, None, "", f"not readable as CSV ({failure})", "save the table as CSV again", line)
        raise error(name, [fault]) from None
    if not records:
        fault = Fault(None, None, "", "the file is empty", f"give it a header with at least {error.NEEDED}, and rows")
        raise error(name, [fault])

    (_, header), *body = records
    whole = [(row, line, cells) for row, (line, cells) in enumerate(body, 1) if len(cells) == len(header)]
    ragged = [
        Fault(
            row,
            None,
            f"{len(cells)} cells, {','.join(cells)}",
            f"every line must have as many cells as the header ({len(header)})",
            "put double quotes around cells that contain a comma, and complete or remove incomplete lines",
            line,
        )
        for row, (line, cells) in enumerate(body, 1)
        if len(cells) != len(header)
    ]
    frame = pd.DataFrame([cells for *_, cells in whole], columns=pd.Index(header, dtype=object), dtype=object)
    rows = np.array([row for row, *_ in whole], dtype=np.int64)
    return Table(name, frame, rows, np.array([line for _, line, _ in whole], dtype=np.int64)), ragged


def _decode(name: str, content: bytes, error: type[TableError]) -> str:
    advice = "save the table as CSV in UTF-8"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        rule = "the text must be UTF-8" + (", but it looks like UTF-16" if wide else "")
        value = "" if wide else f"byte 0x{content[failure.start]:02x}"
        line = None if wide else content.count(b"\n", 0, failure.start) + 1
        raise error(name, [Fault(None, None, value, rule, advice, line)]) from None
    if "\0" in text:
        fault = Fault(None, None, "", "the text must be UTF-8, but it contains NUL bytes", advice)
        raise error(name, [fault])
    return text


def _parquet(name: str, content: bytes, error: type[TableError]) -> tuple[Table, list[Fault]]:
    from pyarrow.lib import ArrowException

    try:
        frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except (ArrowException, OSError) as failure:
        rule = f"not readable as Parquet ({shorten(str(failure))})"
        raise error(name, [Fault(None, None, "", rule, "write the file again, or save it as CSV")]) from None
    return frame_table(name, frame), []


def frame_table(name: str, frame: pd.DataFrame) -> Table:
    """Return the `Table` of a data frame in memory."""
    return Table(name, frame.reset_index(drop=True), np.arange(1, len(frame) + 1), None)


def parse(cells: pd.Series) -> tuple[Floats, Flags, Flags]:
    """Parse cells as numbers.

    Returns:
        Values (NaN if there is none), the mask of absent cells, and the mask of cells that are not numbers; ``(row,)``
        each.
    """
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        return values, np.isnan(values), np.zeros(len(values), dtype=bool)
    text = text_of(cells)
    absent = text.str.lower().isin(_ABSENT).to_numpy()
    values = pd.to_numeric(text.where(~absent, "nan"), errors="coerce").to_numpy(dtype=np.float64)
    return values, absent, np.isnan(values) & ~absent


def row_faults(table: Table, column: str, wrong: Flags, rule: str, advice: str) -> list[Fault]:
    """Return a fault of `column` for every row in the mask `wrong`, with the cell's text as its value."""
    if not wrong.any():
        return []
    cells = text_of(table.cells[column])
    return [table.fault(i, column, cells.iloc[i], rule, advice) for i in np.flatnonzero(wrong)]


def text_of(cells: pd.Series) -> pd.Series:
    """Return cells as text without surrounding blanks; absent cells are empty."""
    return cells.astype("string").fillna("").str.strip()


def strings(values: pd.Series) -> NDArray[np.str_]:
    """Return a text column as a NumPy array."""
    return values.to_numpy().astype(str)


def shorten(text: str, width: int = 80) -> str:
    """Return `text` on one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."
