"""The score table: transfer scores of ordered pairs of languages.

`read_scores` reads CSV or Parquet in one of two forms, checks every rule at once and returns an xarray Dataset.

The first form is a list with one row per measured pair. Its columns are ``source``, ``target`` and

* ``score``, any score that grows with the help of the source; or ``loss`` and ``scratch_loss``, in which case the score
  is ``scratch_loss - loss``;
* optionally ``error``, the standard deviation of the score's measurement error, in the unit of the score;
* optionally ``censored``, 1 if the score is only an upper bound because the run with the source never reached the loss;
* optionally ``distance.<name>``, a geographic or typological distance between the two languages, in any unit.

A row without a score is a pair to impute. Other columns are ignored.

The second form is a matrix. Its first column is ``target`` or ``target\\source``, followed by one column per source.
Empty cells are pairs to impute.

The Dataset has dims ``distance``, ``target`` and ``source``; the last two have the same languages in the same order.
Its variables are ``score`` and ``error`` (NaN where not given) and ``censored`` on ``(target, source)``, and
``distances`` on ``(distance, target, source)`` in standard deviations. ``script``, ``genus`` and ``family`` are coords
on ``target``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.data.cells import Cells, Format, Rule, parse_frame, read_cells
from bayes_atlas.data.faults import Fault, Table, TableError, row_faults, text_of
from bayes_atlas.data.printed import load_table

TRAITS = ("script", "genus", "family")
DISTANCE = "distance."
FEWEST = 3  # languages; with fewer, the effects of sources and targets cannot be estimated

_NUMBER = Rule(
    "must be a finite number",
    "write it as 0.3 or 3e-1, or leave it empty if the pair was not measured",
    least=-np.inf,
    strict=False,
    optional=True,
    general=False,
)
_DISTANCE = Rule(
    "must be a finite number",
    "give the distance of every pair in the table, or remove the column",
    least=-np.inf,
    strict=False,
    general=False,
)
_CENSORED = ("must be 0 or 1", "write 1 if the score is only an upper bound, 0 or nothing if it was measured")


class ScoreTableError(TableError):
    """An unusable score table, with all its `faults`."""

    KIND = "score table"
    NEEDED = "source, target and score (or loss and scratch_loss)"


class TraitTableError(TableError):
    """An unusable language table, with all its `faults`."""

    KIND = "language table"
    NEEDED = f"language, {', '.join(TRAITS)}"


def read_scores(path: str | Path, traits: str | Path | None = None) -> xr.Dataset:
    """Read the score table at `path`.

    Args:
        path: the table, CSV in UTF-8 or Parquet.
        traits: a table with columns ``language``, ``script``, ``genus``, ``family``. Its rows replace the bundled rows
            of the same language.

    Returns:
        The Dataset that this module describes. Its attrs are ``name`` (of the file) and ``sha256`` (of the file's
        content).

    Raises:
        ScoreTableError: the file cannot be read or breaks rules of the format; the error lists all faults.
        TraitTableError: the same for `traits`.
    """
    return _to_dataset(read_cells(Path(path), FORMAT), _traits(traits))


def scores_from_frame(frame: pd.DataFrame, name: str = "scores", traits: str | Path | None = None) -> xr.Dataset:
    """Read a score table from a data frame, with the rules of `read_scores`.

    Returns:
        The Dataset of `read_scores`. Its attr ``sha256`` is that of the frame written as CSV.

    Raises:
        ScoreTableError: `frame` breaks rules of the format; the error lists all faults.
        TraitTableError: the same for `traits`.
    """
    return _to_dataset(parse_frame(name, frame, FORMAT), _traits(traits))


def _traits(path: str | Path | None) -> pd.DataFrame:
    """Return script, genus and family, indexed by language."""
    bundled = load_table("languages").set_index("language")[list(TRAITS)].astype(str)
    if path is None:
        return bundled
    cells = read_cells(Path(path), Format(TraitTableError, ("language", *TRAITS), lambda name: None))
    table, texts, faults = cells.table, cells.texts, cells.line_faults + cells.cell_faults
    for name in ("language", *TRAITS):
        if name not in texts:
            advice = f"a language table needs {TraitTableError.NEEDED}"
            faults.append(Fault(None, name, "", "a required column is missing", advice))
        else:
            empty = texts[name].eq("").to_numpy()
            faults += row_faults(table, name, empty, "must not be empty", f"give the {name} of each language")
    if not faults:
        again = texts["language"].duplicated().to_numpy()
        faults += row_faults(table, "language", again, "a language may have only one row", "remove the repeated row")
    if faults:
        raise TraitTableError(table.name, faults)
    own = pd.DataFrame({name: texts[name].astype(str) for name in ("language", *TRAITS)})
    own = own.set_index("language")
    return pd.concat([own, bundled.drop(own.index, errors="ignore")])


def _to_dataset(cells: Cells, traits: pd.DataFrame) -> xr.Dataset:
    table, faults = cells.table, list(cells.line_faults)
    if len(table.cells) == 0 and not faults:
        faults = [Fault(None, None, "", "there are no rows below the header", "give at least one row for each pair")]
    if faults := faults + _header_faults(cells):
        raise ScoreTableError(table.name, faults)
    numbers, faults = _numbers(cells)
    faults += _pair_faults(table, cells.texts, traits)
    if faults:
        raise ScoreTableError(table.name, sorted(faults, key=lambda fault: fault.row or 0))
    return _assemble(cells, numbers, traits)


def _listed(table: Table) -> Table:
    """Convert a matrix to a list of pairs, without empty cells of the diagonal; a list stays as it is."""
    if "source" in table.cells or str(table.cells.columns[0]).partition("\\")[0] != "target":
        return table
    first, *sources = map(str, table.cells.columns)
    targets = text_of(table.cells[first])
    cells, rows = [], []
    for position, target in enumerate(targets):
        for source in sources:
            value = table.cells[source].iloc[position]
            if source != target or str(value).strip() not in ("", "nan"):
                cells.append((source, target, value))
                rows.append(position)
    frame = pd.DataFrame(cells, columns=["source", "target", "score"], dtype=object)
    return Table(table.name, frame, table.rows[rows], None if table.lines is None else table.lines[rows])


_RULES = {
    "score": _NUMBER,
    "loss": _NUMBER,
    "scratch_loss": _NUMBER,
    "error": Rule(
        "must be a finite number > 0",
        "give the standard deviation of the score's error, in the unit of the score",
        optional=True,
        general=False,
    ),
    "censored": Rule(*_CENSORED, least=-np.inf, strict=False, optional=True, general=False),
}


def _rule(name: str) -> Rule | None:
    return _DISTANCE if name.startswith(DISTANCE) else _RULES.get(name)


FORMAT = Format(ScoreTableError, ("source", "target"), _rule, _listed)


def _header_faults(cells: Cells) -> list[Fault]:
    have = list(map(str, cells.table.cells.columns))
    missing = [name for name in ("source", "target") if name not in have]
    if "score" not in have:
        missing += [name for name in ("loss", "scratch_loss") if name not in have]
    advice = f"a score table needs {ScoreTableError.NEEDED}, or is a matrix whose first column is target"
    faults = [Fault(None, name, "", "a required column is missing", advice) for name in missing]
    return faults + [fault for fault in cells.cell_faults if fault.row is None]


def _numbers(cells: Cells) -> tuple[dict[str, Floats], list[Fault]]:
    """Return the score, error, censoring and distances of each row, and their faults."""
    given, table, faults = cells.numbers, cells.table, list(cells.cell_faults)
    numbers = {name: values for name, values in given.items() if name not in ("loss", "scratch_loss")}
    if "score" not in given:
        numbers = {"score": given["scratch_loss"] - given["loss"]} | numbers
    if "censored" in given:
        values = given["censored"]
        wrong = ~np.isin(np.nan_to_num(values), (0, 1))
        faults += row_faults(table, "censored", wrong & ~np.isinf(values), *_CENSORED)
        lost = (values == 1) & np.isnan(numbers["score"])
        advice = "give the least score that the run could show"
        faults += row_faults(table, "censored", lost, "a bound needs a score", advice)
    if not faults and not np.isfinite(numbers["score"]).any():
        faults.append(Fault(None, "score", "", "no pair has a score", "give the measured scores"))
    return numbers, faults


def _pair_faults(table: Table, names: dict[str, pd.Series], traits: pd.DataFrame) -> list[Fault]:
    faults = []
    for side, values in names.items():
        empty = values.eq("").to_numpy()
        faults += row_faults(table, side, empty, "must not be empty", f"name the {side} of each row")
        foreign = ~values.isin(traits.index).to_numpy() & ~empty & ~values.duplicated().to_numpy()
        rule = "script, genus and family of this language are unknown"
        advice = "give them in a language table (--traits), with columns language, script, genus, family"
        faults += row_faults(table, side, foreign, rule, advice)
    source, target = names["source"], names["target"]
    same = source.eq(target).to_numpy()
    faults += row_faults(table, "target", same, "source and target must differ", "remove the row")
    again = pd.DataFrame(names).duplicated().to_numpy()
    rule, advice = "a pair may have only one row", "average repeated measurements; give their standard error as error"
    faults += row_faults(table, "target", again & ~same, rule, advice)
    if not faults and len({*source, *target}) < FEWEST:
        faults.append(Fault(None, None, "", f"there are fewer than {FEWEST} languages", "add pairs with others"))
    return faults


def _assemble(cells: Cells, numbers: dict[str, Floats], traits: pd.DataFrame) -> xr.Dataset:
    names = cells.texts
    languages = list(dict.fromkeys(pd.DataFrame(names).to_numpy().ravel().tolist()))
    at = tuple(pd.Index(languages).get_indexer(pd.Index(names[side])) for side in ("target", "source"))

    def matrix(values: Floats | None) -> Floats:
        filled = np.full((len(languages), len(languages)), np.nan)
        if values is not None:
            filled[at] = values
        return filled

    distances = [key for key in numbers if key.startswith(DISTANCE)]
    distance_matrices = _standardised([matrix(numbers[key]) for key in distances], len(languages))
    return xr.Dataset(
        {
            "score": (("target", "source"), matrix(numbers["score"])),
            "error": (("target", "source"), matrix(numbers.get("error"))),
            "censored": (("target", "source"), matrix(numbers.get("censored")) == 1),
            "distances": (("distance", "target", "source"), distance_matrices),
        },
        coords={"target": languages, "source": languages, "distance": [key[len(DISTANCE) :] for key in distances]}
        | {trait: ("target", traits.loc[languages, trait].to_numpy().astype(str)) for trait in TRAITS},
        attrs={"name": cells.table.name, "sha256": cells.sha256},
    )


def _standardised(distances: Sequence[Floats], size: int) -> Floats:
    """Standardise distances to mean 0 and sd 1. A missing pair gets the distance of the other direction, or else 0."""
    if not distances:
        return np.empty((0, size, size))
    filled = [np.where(np.isnan(each), each.T, each) for each in distances]
    return np.stack([np.nan_to_num((each - np.nanmean(each)) / (np.nanstd(each) or 1.0)) for each in filled])
