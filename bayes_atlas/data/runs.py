"""The run table: one row per evaluated loss of one training run on one language.

`read_runs` reads CSV or Parquet, checks every rule at once and returns an xarray Dataset:

* dims ``row`` (in the order of the file) and ``source``;
* coords on ``row``: ``language``, ``run``, ``own`` (the source that is the row's own language), ``init``, and the
  labels ``vocabulary`` and ``mixture`` where the table has them; coord ``source``: names of the source languages;
* float64 variables on ``row``: ``params`` N, ``tokens`` D_t, ``unique`` U_t (inf: never repeated), ``loss``,
  ``languages`` K, ``compute`` FLOPs; on ``(row, source)``: ``source_tokens``, ``source_unique`` (inf: never repeated).

If a table has only `tokens`, its sources are the languages themselves. Names and labels lose surrounding blanks
and become NFC.
Columns unknown to the format become variables on ``row``. A column name that the Dataset itself needs (``row``,
``source``, ``own``, ``source_tokens``, ``source_unique``) becomes ``table.<name>``, an empty name ``unnamed``.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas.arrays import Flags, Floats
from bayes_atlas.data.cells import Cells, Format, Rule, parse_frame, read_cells
from bayes_atlas.data.faults import Fault, Table, TableError, row_faults, shorten
from bayes_atlas.data.names import SAME_BUT_FOR_CASE, differing_in_case
from bayes_atlas.data.plausibility import refusals
from bayes_atlas.data.printed import families_of
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError
from bayes_atlas.laws import TRAINING_FLOPS

REQUIRED = ("run", "language", "params", "loss")
LABELS = ("vocabulary", "mixture")
KNOWN = (*REQUIRED, *LABELS, "tokens", "unique", "languages", "init", "compute")
RESERVED = ("row", "source", "own", "source_tokens", "source_unique")

CLOSEST = 1e-3  # least distance of two checkpoints, as a log-ratio of tokens
SCRATCH = "scratch"  # `init` of a run that started from no checkpoint
AGREEMENT = 1e-6  # relative difference up to which two columns for the same number agree


class RunTableError(TableError):
    """An unusable run table, with all its `faults`."""

    KIND = "run table"
    NEEDED = f"{', '.join(REQUIRED)} and tokens (or tokens.<language>)"


def read_runs(path: str | Path) -> xr.Dataset:
    """Read the run table at `path`: CSV in UTF-8 (``.csv``) or Parquet (``.parquet``, ``.pq``).

    Returns:
        The Dataset that this module describes. Its attrs are ``name`` (of the file) and ``sha256`` (of the file's
        content).

    Raises:
        RunTableError: the file cannot be read or breaks rules of the format; the error lists all faults.
    """
    return _to_dataset(read_cells(Path(path), FORMAT))


def runs_from_frame(frame: pd.DataFrame, name: str = "runs") -> xr.Dataset:
    """Read a run table from a data frame, with the rules of `read_runs`.

    Returns:
        The Dataset of `read_runs`. Its attr ``sha256`` is that of the frame written as CSV.

    Raises:
        RunTableError: `frame` breaks rules of the format; the error lists all faults.
    """
    return _to_dataset(parse_frame(name, frame, FORMAT))


def group_runs(runs: xr.Dataset, by: Sequence[str]) -> xr.Dataset:
    """Relabel `language` as groups such as ``en:multilingual``, by the text columns in `by`, so that fits are by group.

    ``own`` stays ``en``. Grouping again replaces the previous groups.

    Raises:
        InputError: a column does not exist, is not text, or is empty in some row.
    """
    valid = [name for name in [*runs.coords, *runs.data_vars] if _is_label(runs, str(name))]
    label = runs["own"].to_series().astype(str)
    for name in by:
        if name not in valid:
            raise InputError(f"cannot group runs by {name!r}; choose from: {', '.join(map(str, valid)) or 'nothing'}")
        values = runs[name].to_series().astype(str)
        if (values == "").any():
            empty = int((values == "").sum())
            raise InputError(
                f"cannot group runs by {name!r}: it is empty in {plural(empty, 'row')}; give every row a label"
            )
        label = label + ":" + values
    return runs.assign_coords(language=("row", label.to_numpy().astype(str)))


def count_all_tokens(runs: xr.Dataset) -> xr.Dataset:
    """Count every training token of a row as its own language's.

    A law without sources then sees the size of the whole mixture as `tokens` D. It sees the unique tokens of all
    sources together as `unique` (inf if any source never repeats).
    """
    tokens, unique = runs["source_tokens"].to_numpy(), runs["source_unique"].to_numpy()
    total = tokens.sum(axis=1)
    limit = np.where(tokens > 0, unique, 0.0).sum(axis=1)
    own = runs["source"].to_numpy() == runs["own"].to_numpy()[:, None]
    dims = ("row", "source")
    return runs.assign(
        tokens=("row", total),
        unique=("row", limit),
        source_tokens=(dims, np.where(own, total[:, None], 0.0)),
        source_unique=(dims, np.where(own, limit[:, None], np.inf)),
    )


def _is_label(runs: xr.Dataset, name: str) -> bool:
    variable = runs[name]
    return variable.dims == ("row",) and variable.dtype.kind == "U" and name not in ("language", "own", "run")


def co_sampled_sources(runs: xr.Dataset, count: int) -> xr.DataArray:
    """Return the `count` other sources that each language is most often trained with (K_t of ATLAS, §4).

    Sources rank by the number of the language's runs with tokens of the source, then by the source's tokens at the last
    checkpoints of those runs, then by name. The language's own source and sources without tokens are never chosen.

    Returns:
        Names of sources, dims ``(language, slot)``, ``slot`` of size `count`. Languages are sorted; one with fewer
        sources has ``""`` in the remaining slots.
    """
    sources = runs["source"].to_numpy()
    tokens = runs["source_tokens"].transpose("row", "source").to_numpy()
    languages, language = np.unique(runs["language"].to_numpy(), return_inverse=True)
    _, run = np.unique(runs["run"].to_numpy(), return_inverse=True)
    order = np.lexsort((tokens.sum(axis=1), run, language))  # checkpoints of each run on each language, in order
    starts = np.flatnonzero(np.diff(language[order], prepend=-1) | np.diff(run[order], prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    trained = np.maximum.reduceat(tokens[order] > 0, starts, axis=0)
    first = np.flatnonzero(np.diff(language[order][starts], prepend=-1))
    runs_with = np.add.reduceat(trained.astype(np.int64), first, axis=0)
    last_tokens = np.add.reduceat(tokens[order][ends], first, axis=0)

    own = runs["own"].to_numpy()[order][starts][first]
    runs_with[sources == own[:, None]] = 0
    by_name = np.broadcast_to(np.argsort(np.argsort(sources)), runs_with.shape)
    ranking = np.lexsort((by_name, -last_tokens, -runs_with), axis=-1)[:, :count]
    names = np.where(np.take_along_axis(runs_with, ranking, axis=1) > 0, sources[ranking], "")
    names = np.pad(names, ((0, 0), (0, count - names.shape[1])), constant_values="")
    return xr.DataArray(names, dims=("language", "slot"), coords={"language": languages}, name="sources")


def tokens_by_source(
    runs: xr.Dataset, named: Mapping[str, Sequence[str]], unit: float | Floats = 1.0
) -> dict[str, Floats]:
    """Return the tokens that every row trains on beside its own language's.

    Args:
        runs: a run table.
        named: the named sources of each language, equally many for all; a source absent from the table has no tokens.
        unit: unit of the result in tokens, a number or ``(row, 1)``.

    Returns:
        ``source_tokens`` and ``source_unique`` ``(row, slot)`` of the named sources, and ``other_tokens`` and
        ``other_unique`` ``(row,)`` of all others together. ``other_unique`` counts only sources that the row trains on.
    """
    names = runs["source"].to_numpy().tolist()
    absent = len(names)
    position = {name: index for index, name in enumerate(names)}
    tokens, unique = (
        runs[name].transpose("row", "source").to_numpy() / unit for name in ("source_tokens", "source_unique")
    )
    tokens = np.pad(tokens, ((0, 0), (0, 1)))
    unique = np.pad(unique, ((0, 0), (0, 1)), constant_values=np.inf)
    slots = {language: [position.get(name, absent) for name in sources] for language, sources in named.items()}
    chosen = np.array([slots[language] for language in runs["language"].to_numpy().tolist()], dtype=int)
    own = np.array([position[name] for name in runs["own"].to_numpy().tolist()])
    rest = tokens > 0
    rows = np.arange(len(tokens))
    rest[rows[:, None], chosen] = False
    rest[rows, own] = False
    return {
        "source_tokens": np.take_along_axis(tokens, chosen, axis=1),
        "source_unique": np.take_along_axis(unique, chosen, axis=1),
        "other_tokens": np.where(rest, tokens, 0.0).sum(axis=1),
        "other_unique": np.where(rest.any(axis=1), np.where(rest, unique, 0.0).sum(axis=1), np.inf),
    }


def last_rows(rows: xr.Dataset) -> NDArray[np.int64]:
    """Return for each row the index of the last row of its curve, ``(row,)``. A curve is one run on one language."""
    names = np.array([rows["run"].to_numpy().astype(str), rows["language"].to_numpy().astype(str)])
    curve = np.unique(names, axis=1, return_inverse=True)[1].ravel()
    last = np.zeros(curve.max() + 1, dtype=np.int64)
    order = np.argsort(rows["tokens"].to_numpy(), kind="stable")
    last[curve[order]] = order
    return last[curve]


def total_tokens(runs: xr.Dataset) -> Floats:
    """Return each row's tokens of all sources, ``(row,)``."""
    return np.asarray(runs["source_tokens"].transpose("row", "source").to_numpy().sum(axis=1))


def share_of_family(runs: xr.Dataset) -> Floats:
    """Return the share of each row's tokens that belongs to its own language's family, ``(row,)``."""
    tokens, names = runs["source_tokens"].transpose("row", "source").to_numpy(), runs["source"].to_numpy().tolist()
    families = np.array(families_of(names))
    own = families[[names.index(name) for name in runs["own"].to_numpy().tolist()]]
    return np.asarray(np.where(families == own[:, None], tokens, 0.0).sum(axis=1) / total_tokens(runs))


# Checking


def _to_dataset(cells: Cells) -> xr.Dataset:
    table, texts, numbers = cells.table, cells.texts, cells.numbers
    faults = cells.line_faults + _header_faults(cells.header)
    if len(table.cells) == 0 and not any(fault.row for fault in faults):
        faults.append(Fault(None, None, "", "there are no rows below the header", "give at least one run"))
    faults += _text_faults(table, texts) + cells.cell_faults
    if "language" in texts:
        faults += _own_faults(cells, texts["language"])
    if not any(fault.row is None for fault in faults):
        sound = ~np.isin(table.rows, [fault.row for fault in faults if fault.row is not None])
        faults += _duplicate_faults(table, texts, numbers, sound)
    if faults:
        raise RunTableError(table.name, sorted(faults, key=lambda fault: fault.row or 0))
    with np.errstate(over="ignore"):  # sizes whose product overflows are among the refusals
        runs = _assemble(cells)
    if faults := _refusal_faults(table, runs):
        raise RunTableError(table.name, sorted(faults, key=lambda fault: fault.row or 0))
    return runs


def _header_faults(header: Sequence[str]) -> list[Fault]:
    faults = []
    missing = [name for name in REQUIRED if name not in header]
    if "tokens" not in header and not any(name.startswith("tokens.") for name in header):
        missing.append("tokens")
    one_cell = len(header) == 1 and any(separator in header[0] for separator in ";\t|")
    for name in missing:
        close = get_close_matches(name, [column.lower() for column in header], n=1, cutoff=0.75)
        if one_cell:
            advice = "separate the cells with commas: the header is a single cell"
        elif close:
            advice = f"rename the column {header[[column.lower() for column in header].index(close[0])]!r}"
        else:
            advice = f"a run table needs {RunTableError.NEEDED}; this one has {shorten(', '.join(header))}"
        faults.append(Fault(None, name, "", "the column is missing", advice))
    for name in header:
        kind, dot, source = name.partition(".")
        if dot and kind in ("tokens", "unique"):
            faults += _source_name_faults(name, kind, source, header)
    return faults


def _source_name_faults(name: str, kind: str, source: str, header: Sequence[str]) -> list[Fault]:
    if not source.strip():
        return [Fault(None, name, "", "the source's name is missing", f"write {kind}.<language>")]
    if ":" in source:
        return [Fault(None, name, "", _COLON, f"rename the source {source!r}")]
    if kind == "unique" and f"tokens.{source}" not in header:
        rule = f"a source with unique tokens needs training tokens too, tokens.{source}"
        return [Fault(None, name, "", rule, f"add the column tokens.{source}, or remove this one")]
    return []


_COLON = 'a language name must not contain ":", which separates a language from its group'


def _text_faults(table: Table, texts: dict[str, pd.Series]) -> list[Fault]:
    faults = []
    for name in ("run", "language"):
        if name in texts:
            empty = texts[name].eq("").to_numpy()
            faults += row_faults(table, name, empty, "must not be empty", f"name the {name} of each row")
    if "language" in texts:
        colon = texts["language"].str.contains(":", regex=False).to_numpy()
        faults += row_faults(table, "language", colon, _COLON, "use another character, such as -, or a label column")
        listed = [column.removeprefix("tokens.") for column in map(str, table.cells) if column.startswith("tokens.")]
        again = differing_in_case([*listed, *pd.unique(texts["language"])])
        case = texts["language"].isin(list(again)).to_numpy()
        advice = f"write the name in one way: {', '.join(f'{name} or {other}' for name, other in again.items())}"
        faults += row_faults(table, "language", case, SAME_BUT_FOR_CASE, advice)
    return faults


_RULES = {
    "params": Rule("must be a finite number > 0", "give the number of parameters, such as 1.2e9"),
    "loss": Rule("must be a finite number > 0", "remove evaluations that failed or diverged, or correct the loss"),
    "tokens": Rule("must be a finite number > 0", "give training tokens of the row's own language", optional=True),
    "unique": Rule("must be a number > 0", "leave it empty if no data are repeated", infinite=True, optional=True),
    "languages": Rule(
        "must be a finite number >= 1", "leave it empty to count the sources with tokens", 1, False, optional=True
    ),
    "compute": Rule("must be a finite number > 0", "leave it empty to use 6 * params * all tokens", optional=True),
}
_SOURCE_TOKENS = Rule("must be a finite number >= 0", "write 0 if the run did not train on this source", strict=False)


def _rule(name: str) -> Rule | None:
    """Return the rule of a number column, or None for an unknown column."""
    kind, dot, _ = name.partition(".")
    if kind not in _RULES or (dot and kind not in ("tokens", "unique")):
        return None
    return _SOURCE_TOKENS if dot and kind == "tokens" else _RULES[kind]


FORMAT = Format(RunTableError, ("run", "language", "init", *LABELS), _rule)


def _own_faults(cells: Cells, language: pd.Series) -> list[Fault]:
    """Check that each row has tokens of its own language, and that its columns of own and unique tokens agree."""
    table, numbers, faults = cells.table, cells.numbers, list[Fault]()
    for kind in ("tokens", "unique"):
        if kind in numbers:
            plain, detailed = numbers[kind], _own_values(language, numbers, kind)
            differ = ~np.isclose(plain, detailed, rtol=AGREEMENT, atol=0) & ~np.isnan(plain) & ~np.isnan(detailed)
            rule = f"must agree with {kind}.<language of the row>"
            faults += row_faults(table, kind, differ, rule, f"correct one of the two, or leave {kind} empty")

    listed = _sources(numbers)
    absent = cells.absent.get("tokens", np.full(len(language), bool(listed)))
    lost = absent & ~np.isin(language, listed)
    rule = "a row needs training tokens of its own language, in tokens or tokens.<language>"
    advice = "fill the column tokens, or add tokens.<language> for each language that has rows"
    faults += row_faults(table, "language", lost, rule, advice)
    none = _own_values(language, numbers, "tokens") == 0
    rule = "training tokens of the row's own language must be > 0"
    advice = "remove the row: the laws do not cover a language that its run never trained on"
    return faults + row_faults(table, "language", none, rule, advice)


def _sources(numbers: Iterable[str]) -> list[str]:
    return [name.removeprefix("tokens.") for name in numbers if name.startswith("tokens.")]


def _own_values(language: pd.Series, numbers: dict[str, Floats], kind: str) -> Floats:
    """Return ``<kind>.<language>`` for each row's own language, NaN if there is no such column."""
    values = np.full(len(language), np.nan)
    for name in pd.unique(language):
        if f"{kind}.{name}" in numbers:
            mask = (language == name).to_numpy()
            values[mask] = numbers[f"{kind}.{name}"][mask]
    return values


def _refusal_faults(table: Table, runs: xr.Dataset) -> list[Fault]:
    """Return a fault for each row that cannot be meant."""
    return [
        table.fault(row - 1, doubt.column, value, doubt.rule, doubt.advice)
        for doubt in refusals(runs)
        for row, value in zip(doubt.rows, doubt.values, strict=True)
    ]


def _duplicate_faults(
    table: Table, texts: dict[str, pd.Series], numbers: dict[str, Floats], sound: Flags
) -> list[Fault]:
    """Find repeated checkpoints among `sound` rows, those with the same run, labels, size and tokens."""
    counted = {name: values for name, values in numbers.items() if name == "params" or name.startswith("tokens")}
    keys = pd.DataFrame(texts | counted).drop(columns="init", errors="ignore")[sound]
    group = keys.groupby(list(keys.columns), sort=False, dropna=False).ngroup().to_numpy()
    positions = np.flatnonzero(sound)
    first = positions[np.unique(group, return_index=True)[1]][group]
    return [
        table.fault(
            again,
            "run",
            f"{texts['run'].iloc[again]} on {texts['language'].iloc[again]}, same as row {table.rows[before]}",
            "a run may have only one row per language and checkpoint",
            "remove the repeated row, or give different runs different names",
        )
        for before, again in zip(first, positions, strict=True)
        if before != again
    ]


# Assembling


def _assemble(cells: Cells) -> xr.Dataset:
    texts, numbers = cells.texts, cells.numbers
    language = texts["language"]
    listed = _sources(numbers)
    sources = listed + [name for name in pd.unique(language) if name not in listed]
    own = pd.Index(sources).get_indexer(pd.Index(language))
    here = np.arange(len(language)), own

    source_tokens = np.stack([numbers.get(f"tokens.{name}", np.zeros(len(language))) for name in sources], axis=1)
    detailed = _own_values(language, numbers, "tokens")
    tokens = np.where(np.isnan(detailed), numbers.get("tokens", detailed), detailed)
    source_tokens[here] = tokens

    source_unique = np.stack([_or_inf(numbers.get(f"unique.{name}"), len(language)) for name in sources], axis=1)
    unique = np.minimum(source_unique[here], _or_inf(numbers.get("unique"), len(language)))  # they agree, or one is inf
    source_unique[here] = unique

    counted = np.count_nonzero(source_tokens, axis=1).astype(np.float64)
    compute = TRAINING_FLOPS * numbers["params"] * source_tokens.sum(axis=1)
    init = texts.get("init", pd.Series("", index=language.index, dtype="string"))
    labels = {"language": language, "run": texts["run"], "own": language, "init": init.where(init != "", SCRATCH)}
    labels |= {name: texts[name] for name in LABELS if name in texts}
    known = {
        "params": numbers["params"],
        "tokens": tokens,
        "unique": unique,
        "loss": numbers["loss"],
        "languages": _or_default(numbers.get("languages"), counted),
        "compute": _or_default(numbers.get("compute"), compute),
    }
    others = {f"table.{name}" if name in RESERVED else name: ("row", values) for name, values in cells.others.items()}
    return xr.Dataset(
        {name: ("row", values) for name, values in known.items()}
        | {
            "source_tokens": (("row", "source"), source_tokens),
            "source_unique": (("row", "source"), source_unique),
        }
        | others,
        coords={name: ("row", values.to_numpy().astype(str)) for name, values in labels.items()}
        | {"source": np.array(sources)},
        attrs={"name": cells.table.name, "sha256": cells.sha256},
    )


def _or_inf(values: Floats | None, count: int) -> Floats:
    return np.full(count, np.inf) if values is None else np.where(np.isnan(values), np.inf, values)


def _or_default(values: Floats | None, default: Floats) -> Floats:
    return default if values is None else np.where(np.isnan(values), default, values)
