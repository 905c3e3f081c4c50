"""The evidence table: what the runs of each of several tables show about the errors of their law.

Its columns are ``table``, ``kappa`` (standard deviation of the walks per square root of an e-fold), ``evidence`` (log
marginal likelihood of the table's runs, up to a constant of the table), ``log_q`` and ``error`` (the estimate of log q
and its standard error). Each table has one row for every ``kappa``, and all tables have the same ``kappa``.
`benchmarks/law_error.py` writes such a table; see `bayes_atlas.law_error` for what the columns mean.
"""

from pathlib import Path

import numpy as np
import xarray as xr

from bayes_atlas.data.cells import Format, Rule, read_cells
from bayes_atlas.data.faults import Fault, TableError, row_faults

NUMBERS = ("kappa", "evidence", "log_q", "error")


class EvidenceTableError(TableError):
    """An unusable evidence table, with all its `faults`."""

    KIND = "evidence table"
    NEEDED = f"table, {', '.join(NUMBERS)}"


def _rule(name: str) -> Rule | None:
    if name in ("kappa", "error"):
        return Rule("must be a finite number > 0", "give a positive number", general=False)
    if name in ("evidence", "log_q"):
        return Rule("must be a finite number", "give a number", least=-np.inf, general=False)
    return None


FORMAT = Format(EvidenceTableError, ("table",), _rule)


def read_evidence(path: str | Path) -> xr.Dataset:
    """Read the evidence table at `path`, CSV in UTF-8 or Parquet.

    Returns:
        Dataset with dims ``table`` and ``kappa``: coords of both, ``evidence`` and ``log_q`` and ``error`` by both. Its
        attrs are ``name`` (of the file) and ``sha256`` (of the file's content).

    Raises:
        EvidenceTableError: the file cannot be read or breaks rules of the format; the error lists all faults.
    """
    cells = read_cells(Path(path), FORMAT)
    table, numbers, faults = cells.table, cells.numbers, list(cells.line_faults)
    advice = f"an evidence table needs {EvidenceTableError.NEEDED}"
    missing = [name for name in ("table", *NUMBERS) if name not in cells.header]
    faults += [Fault(None, name, "", "a required column is missing", advice) for name in missing]
    if not faults and len(table.cells) == 0:
        faults.append(Fault(None, None, "", "there are no rows below the header", "give at least one table"))
    if not faults and not (faults := list(cells.cell_faults)):
        names, kappas = cells.texts["table"].to_numpy().astype(str), numbers["kappa"]
        empty = names == ""
        faults += row_faults(table, "table", empty, "must not be empty", "name the table of each row")
        pairs = len(np.unique(names)) * len(np.unique(kappas))
        if pairs != len(names) or len(set(zip(names.tolist(), kappas.tolist(), strict=True))) != pairs:
            faults.append(
                Fault(None, "kappa", "", "every table must have one row for each kappa", "add or remove rows")
            )
    if faults:
        raise EvidenceTableError(table.name, sorted(faults, key=lambda fault: fault.row or 0))
    order = list(dict.fromkeys(names.tolist()))
    sizes = np.unique(kappas)
    place = [order.index(name) for name in names.tolist()], np.searchsorted(sizes, kappas)
    grids = {}
    for name in NUMBERS[1:]:
        grids[name] = (("table", "kappa"), np.zeros((len(order), len(sizes))))
        grids[name][1][place] = numbers[name]
    return xr.Dataset(
        grids, coords={"table": order, "kappa": sizes}, attrs={"name": table.name, "sha256": cells.sha256}
    )
