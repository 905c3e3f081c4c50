"""The crossover table: measured points at which training from scratch overtakes training from a checkpoint.

Its columns are ``language``, ``params`` (number of parameters), ``tokens`` (training tokens at the crossover) and
``error`` (standard deviation of log tokens). The language ``all`` stands for a typical language, as in points read off
a published rule.
"""

from pathlib import Path

import xarray as xr

from bayes_atlas.data.cells import Format, Rule, read_cells
from bayes_atlas.data.faults import Fault, TableError, row_faults

TYPICAL = "all"
NUMBERS = {
    "params": "give the number of parameters, such as 2e9",
    "tokens": "give the training tokens at the crossover; leave out runs without a crossover",
    "error": "give the standard deviation of log tokens, such as .1",
}


class CrossingTableError(TableError):
    """An unusable crossover table, with all its `faults`."""

    KIND = "crossover table"
    NEEDED = f"language, {', '.join(NUMBERS)}"


def _rule(name: str) -> Rule | None:
    return Rule("must be a finite number > 0", NUMBERS[name], general=False) if name in NUMBERS else None


FORMAT = Format(CrossingTableError, ("language",), _rule)


def read_crossings(path: str | Path) -> xr.Dataset:
    """Read the crossover table at `path`, CSV in UTF-8 or Parquet.

    Returns:
        Dataset with dim ``row``, coord ``language`` and variables ``params``, ``crossover`` (tokens) and ``error`` (sd
        of log tokens). Its attrs are ``name`` (of the file) and ``sha256`` (of the file's content).

    Raises:
        CrossingTableError: the file cannot be read or breaks rules of the format; the error lists all faults.
    """
    cells = read_cells(Path(path), FORMAT)
    table, numbers, faults = cells.table, cells.numbers, list(cells.line_faults)
    advice = f"a crossover table needs {CrossingTableError.NEEDED}"
    missing = [name for name in ("language", *NUMBERS) if name not in cells.header]
    faults += [Fault(None, name, "", "a required column is missing", advice) for name in missing]
    if not faults and len(table.cells) == 0:
        faults.append(Fault(None, None, "", "there are no rows below the header", "give at least one crossover"))
    if not faults and not (faults := list(cells.cell_faults)):
        languages = cells.texts["language"]
        empty = languages.eq("").to_numpy()
        faults += row_faults(table, "language", empty, "must not be empty", "name the language of each row")
        if languages.eq(TYPICAL).all():
            faults.append(
                Fault(None, "language", "", f"every row has the language {TYPICAL!r}", "name at least one language")
            )
    if faults:
        raise CrossingTableError(table.name, sorted(faults, key=lambda fault: fault.row or 0))
    return xr.Dataset(
        {
            "params": ("row", numbers["params"]),
            "crossover": ("row", numbers["tokens"]),
            "error": ("row", numbers["error"]),
        },
        coords={"language": ("row", languages.to_numpy().astype(str))},
        attrs={"name": table.name, "sha256": cells.sha256},
    )
