"""Run tables that must be refused, each with the words that tell its user what to do.

`BAD_TABLES` lists (name, function that writes the table below a folder and returns its path, text of the message).
"""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bayes_atlas.data.runs import RunTableError, read_runs

HEADER = "run,language,params,tokens,unique,loss"
ROW = "a,en,1e8,1e9,1e9,3.1"
SECOND = "b,sw,2e8,2e9,,2.9"
SOURCES = "run,language,params,loss,tokens.en,tokens.sw"

type Write = Callable[[Path], Path]


def csv(*lines: str, name: str = "runs.csv", encoding: str = "utf-8") -> Write:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes("\n".join([*lines, ""]).encode(encoding))
        return path

    return write


def raw(content: bytes, name: str = "runs.csv") -> Write:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return write


def row(**cells: str) -> Write:
    """Two rows, the second sound but for `cells`."""
    good = dict(zip(HEADER.split(","), SECOND.split(","), strict=True)) | cells
    return csv(",".join(good), ROW + "," * (len(good) - 6), ",".join(good.values()))


def parquet(frame: pd.DataFrame) -> Write:
    def write(folder: Path) -> Path:
        path = folder / "runs.parquet"
        frame.to_parquet(path)
        return path

    return write


def missing(folder: Path) -> Path:
    return folder / "nowhere.csv"


def directory(folder: Path) -> Path:
    path = folder / "runs.csv"
    path.mkdir()
    return path


FRAME = pd.DataFrame({"run": ["a"], "language": ["en"], "params": [1e8], "tokens": [1e9], "loss": [3.1]})


def pipe(folder: Path) -> Path:
    path = folder / "runs.csv"
    os.mkfifo(path)
    return path


def device(folder: Path) -> Path:
    path = folder / "runs.csv"
    path.symlink_to("/dev/zero")
    return path


def huge(folder: Path) -> Path:
    path = folder / "runs.csv"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse: it takes no space
    return path


def pandas_metadata(content: bytes) -> Write:
    """A Parquet file whose metadata of pandas are `content`."""

    def write(folder: Path) -> Path:
        path = folder / "runs.parquet"
        pq.write_table(pa.Table.from_pandas(FRAME).replace_schema_metadata({b"pandas": content}), path)
        return path

    return write


BAD_TABLES: list[tuple[str, Write, str]] = [
    ("missing file", missing, "there is no such file"),
    ("folder", directory, "this is a folder"),
    ("pipe", pipe, "this is a pipe, a socket or a device"),
    ("endless device", device, "this is a pipe, a socket or a device"),
    ("larger than any table", huge, "the file has 1,000,000,000,000 bytes"),
    ("broken metadata", pandas_metadata(b"{broken"), "not readable as Parquet (JSONDecodeError: "),
    ("empty metadata", pandas_metadata(b"{}"), "not readable as Parquet (KeyError: "),
    ("metadata not UTF-8", pandas_metadata(b"\xff"), "not readable as Parquet (UnicodeDecodeError: "),
    ("binary column", parquet(FRAME.assign(note=[b"\xff"])), "column note is binary, not text or numbers"),
    ("unknown suffix", csv(HEADER, ROW, name="runs.xlsx"), "it is '.xlsx'"),
    ("compressed", raw(gzip.compress(b"run"), "runs.csv.gz"), "it is '.gz'"),
    ("empty file", raw(b""), "the file is empty"),
    ("blank lines only", raw(b"\n\n"), "the file is empty"),
    ("header only", csv(HEADER), "there are no rows below the header"),
    ("UTF-16", csv(HEADER, ROW, encoding="utf-16"), "must be UTF-8, but it looks like UTF-16"),
    ("UTF-16 without mark", csv(HEADER, ROW, encoding="utf-16-le"), "must be UTF-8, but it contains NUL bytes"),
    ("Latin-1", csv(HEADER, ROW, "b,français,2e8,2e9,,2.9", encoding="latin-1"), "line 3: byte 0xe7"),
    ("too many cells", csv(HEADER, ROW, "b,sw,2e8,2,000,000,,2.9"), "row 2 (line 3): 8 cells, b,sw,2e8,2,000,000,,2.9"),
    ("too few cells", csv(HEADER, ROW, "b,sw"), "row 2 (line 3): 2 cells, b,sw"),
    ("open quote", csv(HEADER, ROW, 'b,"sw,2e8,2e9,,2.9', SECOND), "row 2 (line 3): 2 cells"),
    ("cell beyond bounds", csv(HEADER, ROW, "b" * 200_000 + ",sw,2e8,2e9,,2.9"), "not readable as CSV"),
    ("semicolons", csv(HEADER.replace(",", ";"), ROW.replace(",", ";")), "separate the cells with commas"),
    ("missing column", csv("run,language,params,tokens", "a,en,1e8,1e9"), "column 'loss': the column is missing"),
    ("misspelt column", csv(HEADER.replace("params", "Param"), ROW), "rename the column 'Param'"),
    ("no tokens", csv("run,language,params,loss", "a,en,1e8,3.1"), "column 'tokens': the column is missing"),
    ("column twice", csv(HEADER + ",loss", ROW + ",3.0"), "column 'loss': a column name may appear only once"),
    ("source without name", csv(HEADER + ",tokens.", ROW + ",0"), "next: write tokens.<language>"),
    ("unique without tokens", csv(SOURCES + ",unique.yo", "a,en,1e8,3,1,0,9"), "add the column tokens.yo"),
    ("text for a number", row(params="124M"), "column 'params': must be a number\n    row 2 (line 3): 124M"),
    ("decimal comma", row(loss='"2,9"'), "row 2 (line 3): 2,9\n    next: write it as 1200000 or 1.2e6: a point"),
    ("boolean for a number", row(loss="True"), "column 'loss': must be a number"),
    ("params 0", row(params="0"), "column 'params': must be a finite number > 0\n    row 2 (line 3): 0"),
    ("params negative", row(params="-5"), "row 2 (line 3): -5\n    next: give the number of parameters"),
    ("loss 0", row(loss="0"), "column 'loss': must be a finite number > 0"),
    ("loss diverged", row(loss="inf"), "row 2 (line 3): inf\n    next: remove evaluations that failed"),
    ("loss absent", row(loss="nan"), "row 2 (line 3): nan\n    next: remove evaluations that failed"),
    ("loss too large", row(loss="1e999"), "row 2 (line 3): 1e999"),
    ("tokens 0", row(tokens="0"), "column 'tokens': must be a finite number > 0"),
    ("tokens absent", row(tokens=""), "a row needs training tokens of its own language"),
    ("tokens unreadable", row(tokens="2B"), "column 'tokens': must be a number\n    row 2 (line 3): 2B"),
    ("unique 0", row(unique="0"), "next: leave it empty if no data are repeated"),
    ("languages below 1", row(languages="0.5"), "column 'languages': must be a finite number >= 1"),
    ("compute 0", row(compute="0"), "column 'compute': must be a finite number > 0"),
    ("no run", row(run=" "), "column 'run': must not be empty"),
    ("no language", row(language=""), "name the language of each row"),
    ("colon in a language", row(language="sw:x"), 'must not contain ":", which separates a language from its group'),
    ("colon in a source", csv(SOURCES + ",tokens.a:b", "a,en,1e8,3,1,0,9"), "rename the source 'a:b'"),
    ("source negative", csv(SOURCES, "a,en,1e8,3,1e9,-1"), "column 'tokens.sw': must be a finite number >= 0"),
    ("source absent", csv(SOURCES, "a,en,1e8,3,1e9,"), "write 0 if the run did not train on this source"),
    ("own source 0", csv(SOURCES, "a,sw,1e8,3,1e9,0"), "training tokens of the row's own language must be > 0"),
    ("own source unknown", csv(SOURCES, "a,yo,1e8,3,1e9,0"), "add tokens.<language> for each language"),
    (
        "tokens disagree",
        csv(SOURCES + ",tokens", "a,en,1e8,3,1e9,0,2e9"),
        "must agree with tokens.<language of the row>",
    ),
    (
        "unique disagree",
        csv(SOURCES + ",unique,unique.en", "a,en,1e8,3,1e9,0,5e8,inf"),
        "must agree with unique.<language of the row>",
    ),
    ("checkpoint twice", csv(HEADER, ROW, SECOND, ROW), "row 3 (line 4): a on en, same as row 1"),
    (
        "transfer table",
        csv("source,target,loss", "ru,zh,1.6"),
        "column 'run', 'language', 'params', 'tokens': the column",
    ),
    ("corrupt Parquet", raw(b"PAR1 and then nothing", "runs.parquet"), "not readable as Parquet"),
    ("empty Parquet", raw(b"", "runs.pq"), "not readable as Parquet"),
    ("Parquet without rows", parquet(FRAME.iloc[:0]), "there are no rows below the header"),
    ("Parquet of text", parquet(FRAME.assign(loss=["three"])), "row 1: three"),
    ("Parquet with a hole", parquet(FRAME.assign(loss=[float("nan")])), "row 1: (empty)"),
]


@pytest.mark.parametrize(("write", "text"), [case[1:] for case in BAD_TABLES], ids=[case[0] for case in BAD_TABLES])
def test_bad_table_is_refused_with_the_rule_and_the_next_step(write, text, tmp_path):
    path = write(tmp_path)
    with pytest.raises(RunTableError, match="is not a usable run table") as caught:
        read_runs(path)
    message = str(caught.value)
    assert text in message
    assert path.name in message.splitlines()[0]
    assert message.count("    next: ") == sum(line.startswith("- ") for line in message.splitlines())
    assert all(fault.rule and fault.advice for fault in caught.value.faults)


def test_all_faults_of_a_file_are_found_at_once(tmp_path):
    path = csv(
        HEADER + ",languages",
        "a,en,1e8,1e9,1e9,3.1,1",
        "b,sw,big,2e9,0,-2.9,0",
        "c,s:w,1e8,-2e9,",
        "d,,1e8,0,,2.9,",
        "a,en,1e8,1e9,1e9,3.1,1",
    )(tmp_path)
    with pytest.raises(RunTableError, match="8 faults") as caught:
        read_runs(path)
    found = [(fault.row, fault.line, fault.column, fault.value) for fault in caught.value.faults]
    assert found == [
        (2, 3, "params", "big"),
        (2, 3, "unique", "0"),
        (2, 3, "loss", "-2.9"),
        (2, 3, "languages", "0"),
        (3, 4, None, "5 cells, c,s:w,1e8,-2e9,"),
        (4, 5, "language", ""),
        (4, 5, "tokens", "0"),
        (5, 6, "run", "a on en, same as row 1"),
    ]


def test_alike_faults_are_listed_once_and_none_is_lost(tmp_path):
    path = csv(HEADER, *(f"r{i},en,1e8,1e9,,-{i}" for i in range(1, 101)))(tmp_path)
    with pytest.raises(RunTableError, match=r"100 faults\n- column 'loss'") as caught:
        read_runs(path)
    assert [fault.row for fault in caught.value.faults] == list(range(1, 101))
    lines = str(caught.value).splitlines()
    assert lines[2:6] == [
        "    row 1 (line 2): -1",
        "    row 2 (line 3): -2",
        "    row 3 (line 4): -3",
        "    and 97 more",
    ]
    assert len(lines) == 7


def test_lines_count_blank_lines_and_breaks_inside_quotes(tmp_path):
    path = csv(HEADER + ",note", ROW + ',"two\nlines"', "", SECOND + ",", "c,sw,x,2e9,,2.9,")(tmp_path)
    with pytest.raises(RunTableError, match=r"row 3 \(line 6\): x"):
        read_runs(path)


def test_error_can_be_copied_between_processes(tmp_path):
    with pytest.raises(RunTableError, match="no such file") as caught:
        read_runs(missing(tmp_path))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.faults) == (str(caught.value), caught.value.faults)
