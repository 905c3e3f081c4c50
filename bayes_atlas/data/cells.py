"""Read CSV or Parquet tables, and parse their columns by the rules of a format."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags, Floats
from bayes_atlas.data.faults import Fault, Table, TableError, row_faults, shorten, text_of
from bayes_atlas.data.names import INVISIBLE, normalised

_RENAME = "type the name again, without characters copied from elsewhere"
LARGEST = 2_000_000_000  # bytes of a file
_ONCE = "a column name may appear only once"
_ABSENT = ("", "na", "nan", "null", "none")  # cells of number columns that mean "not given", in any letter case


@dataclass(frozen=True)
class Rule:
    """Rule for the cells of a number column."""

    text: str
    advice: str
    least: float = 0.0
    strict: bool = True  # whether cells must be above `least`, not equal to it
    infinite: bool = False  # whether inf is allowed
    optional: bool = False  # whether a cell may be absent, because it has a default
    general: bool = True  # whether a cell that is not a number gets the general advice instead of this rule's


@dataclass(frozen=True)
class Format:
    """Rules for parsing the columns of a kind of table."""

    error: type[TableError]
    texts: Sequence[str]  # columns of text
    rule: Callable[[str], Rule | None]  # rule of a number column, by name; None for others
    reshape: Callable[[Table], Table] = lambda table: table  # applied before any column is parsed


@dataclass(frozen=True)
class Cells:
    """A table with parsed columns."""

    table: Table  # cells as written; of repeated columns only the first
    header: list[str]  # names of all columns as written, without surrounding blanks
    sha256: str
    texts: dict[str, pd.Series]
    numbers: dict[str, Floats]  # NaN where a cell is absent or not a number
    absent: dict[str, Flags]  # mask of the absent cells of each number column
    others: dict[str, NDArray[np.generic]]  # unknown columns, as numbers, booleans or text
    line_faults: list[Fault]
    cell_faults: list[Fault]  # of names, texts and numbers


def read_cells(path: Path, form: Format) -> Cells:
    """Read and parse the table at `path`: CSV in UTF-8 (``.csv``) or Parquet (``.parquet``, ``.pq``).

    Raises:
        TableError: the file cannot be read at all; the exception has the class of the format.
    """
    content = _content(path, form.error)
    split = _split_csv if path.suffix.lower() == ".csv" else _parquet
    table, faults = split(path.name, content, form.error)
    return _parsed(table, faults, hashlib.sha256(content).hexdigest(), form)


def parse_frame(name: str, frame: pd.DataFrame, form: Format) -> Cells:
    """Parse a table in memory; ``sha256`` is that of the frame written as CSV."""
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    return _parsed(_frame_table(name, frame), [], digest, form)


def _parsed(table: Table, faults: list[Fault], sha256: str, form: Format) -> Cells:
    header = [normalised(str(column)) or "unnamed" for column in table.cells.columns]
    named = table.cells.set_axis(pd.Index(header, dtype=object), axis=1)
    table = form.reshape(Table(table.name, named.loc[:, ~named.columns.duplicated()], table.rows, table.lines))
    numbers: dict[str, Floats] = {}
    absent: dict[str, Flags] = {}
    wrong = [Fault(None, name, "", INVISIBLE, _RENAME) for name in header if not name.isprintable()]
    repeated = sorted(name for name, count in Counter(header).items() if count > 1)
    wrong += [Fault(None, name, "", _ONCE, "rename or remove all but one of these columns") for name in repeated]
    others: dict[str, NDArray[np.generic]] = {}
    for name in map(str, table.cells.columns):
        if (rule := form.rule(name)) is not None:
            numbers[name], absent[name], unreadable = _parse(table.cells[name])
            wrong += _number_faults(table, name, rule, (numbers[name], absent[name], unreadable))
        elif name not in form.texts:
            others[name] = _guess(table.cells[name])
    texts = {name: text_of(table.cells[name]).map(normalised) for name in form.texts if name in table.cells}
    for name, values in texts.items():
        hidden = ~values.map(str.isprintable).to_numpy(dtype=bool)
        wrong += row_faults(table, name, hidden, INVISIBLE, _RENAME)
    return Cells(table, header, sha256, texts, numbers, absent, others, faults, wrong)


def _number_faults(table: Table, name: str, rule: Rule, parsed: tuple[Floats, Flags, Flags]) -> list[Fault]:
    values, absent, unreadable = parsed
    low = (values <= rule.least) if rule.strict else (values < rule.least)
    wrong = low | (np.isinf(values) & (not rule.infinite)) | (absent & (not rule.optional))
    if not rule.general:
        return row_faults(table, name, wrong | unreadable, rule.text, rule.advice)
    advice = "write it as 1200000 or 1.2e6: a point for decimals, no separators, no units"
    general = row_faults(table, name, unreadable, "must be a number", advice)
    return general + row_faults(table, name, wrong & ~unreadable, rule.text, rule.advice)


def _content(path: Path, error: type[TableError]) -> bytes:
    advice = "name a .csv file in UTF-8 or a .parquet file"
    if path.is_dir():
        raise error(str(path), [Fault(None, None, "", f"a {error.KIND} is one file, but this is a folder", advice)])
    if path.suffix.lower() not in (".csv", ".parquet", ".pq"):
        rule = f"the suffix must be .csv, .parquet or .pq, but it is {path.suffix!r}"
        raise error(str(path), [Fault(None, None, "", rule, f"convert the table, then {advice}")])
    try:
        about = path.stat()
        if not S_ISREG(about.st_mode):
            rule = f"a {error.KIND} is a regular file, but this is a pipe, a socket or a device"
            raise error(str(path), [Fault(None, None, "", rule, f"save it, then {advice}")])
        if about.st_size > LARGEST:
            rule = f"the file has {about.st_size:,} bytes, and at most {LARGEST:,} are read"
            raise error(str(path), [Fault(None, None, "", rule, "leave out columns and checkpoints")])
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
    from pyarrow import types
    from pyarrow.lib import ArrowException
    from pyarrow.parquet import read_table

    try:
        table = read_table(io.BytesIO(content))
        binary = [field.name for field in table.schema if _holds(field.type, types.is_binary, types.is_large_binary)]
        if binary:
            raise TypeError(f"column {binary[0]} is binary, not text or numbers")
        return _frame_table(name, table.to_pandas()), []
    # A damaged file may fail anywhere: the metadata of pandas that it holds are parsed by pandas.
    except (ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError) as failure:
        rule = f"not readable as Parquet ({type(failure).__name__}: {shorten(str(failure))})"
        raise error(name, [Fault(None, None, "", rule, "write the file again, or save it as CSV")]) from None


def _holds(kind: Any, *tests: Callable[[Any], bool]) -> bool:
    """Return whether an Arrow type, or the type of its values, passes one of `tests`."""
    inner = getattr(kind, "value_type", None)
    return any(test(kind) for test in tests) or (inner is not None and _holds(inner, *tests))


def _frame_table(name: str, frame: pd.DataFrame) -> Table:
    """Return the `Table` of a data frame in memory."""
    return Table(name, frame.reset_index(drop=True), np.arange(1, len(frame) + 1), None)


def _parse(cells: pd.Series) -> tuple[Floats, Flags, Flags]:
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


def _guess(cells: pd.Series) -> NDArray[np.generic]:
    """Return an unknown column as booleans or numbers if all its cells are such, otherwise as text."""
    if pd.api.types.is_bool_dtype(cells):
        return cells.to_numpy(dtype=bool)
    values, absent, unreadable = _parse(cells)
    if len(cells) and not unreadable.any() and not absent.all():
        return values
    text = text_of(cells)
    if text.str.lower().isin(["true", "false"]).all():
        return text.str.lower().eq("true").to_numpy(dtype=bool)
    return text.to_numpy().astype(str)
