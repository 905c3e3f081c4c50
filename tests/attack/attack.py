"""Mutated tables, options, scenarios and posteriors: each ends in an answer or in one message, never in a traceback.

``make attack`` runs thousands, ``tests/attack/test_attack.py`` a sample. An attack is a function from a seed to the
arguments of a command, which runs in a child of this process, so that a crash is a finding too.
``python -m tests.attack.attack tables --count 1 --seed 17`` repeats the one of seed 17.
"""

import argparse
import atexit
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from bayes_atlas.cli import main
from bayes_atlas.folder.info import INFO
from bayes_atlas.posterior import DRAWS, load_posterior, thin

LONGEST = 20.0  # CPU-seconds of an answer
STUCK = 200  # seconds after which it is a hang
NUMBERS = ["-1", "0", "nan", "inf", "-inf", "1e-300", "1e300", "1e18", "1.5", "ten", "", "18446744073709551616", "1e-9"]
TEXTS = ["", " ", "en:x", "\x1b[2J", "$x^$", "e\u0301", "\u202eEN", "en\u200b", "=1+1", "EN", "\U0001f600", "x" * 5000]
BYTES = [b"\0", b"\xff", b"\n", b'"', b",", b"\r", b";", b"\xef\xbb\xbf", b"\x1b[31m", b"1e999"]

SIZE = ["--max-params", "--max-tokens", "--served", "--unique", "--probability"]
QUESTIONS: dict[str, tuple[list[str], list[str]]] = {
    "optimum": (["chinchilla-2022", "--compute", "1e21"], ["--compute", *SIZE]),
    "tax": (["atlas-simulated", "--language", "fr", "--compute", "1e20"], ["--compute", "--unique", "--probability"]),
    "crossover": (
        ["crossover-bytes", "--language", "de", "--checkpoint", "en", "--params", "65.8e6", "--tokens", "1e10"],
        ["--params", "--tokens", "--unique", "--charge", "--probability"],
    ),
    "expand": (["capacity-simulated", "--factor", "2", "--language", "en"], ["--factor", "--probability"]),
    "transfer": (["transfer-atlas", "--target", "sw"], ["--top", "--probability", "--target"]),
    "trajectory": (["chinchilla-2022", "--from", "1e20", "--to", "1e22"], ["--from", "--to", "--probability"]),
}

DECISIONS = [
    ["optimum", "--compute", "1e21"],
    ["optimum", "--compute", "1e21", "--law-error", "none"],
    ["trajectory", "--from", "1e20", "--to", "1e22"],
    ["expand", "--factor", "2"],
    ["mixture", "--compute", "1e21"],
]


def sound(rng: np.random.Generator) -> pd.DataFrame:
    """Return a sound run table of one language or two."""
    count = int(rng.integers(1, 30))
    params, tokens = 10 ** rng.uniform(7, 10, count), 10 ** rng.uniform(8, 12, count)
    loss = 1.8 + 482 / params**0.348 + 2085 / tokens**0.366
    frame = pd.DataFrame({"run": [f"r{i}" for i in range(count)], "language": rng.choice(["en", "sw"], count)})
    frame = frame.assign(params=params, tokens=tokens, loss=loss)
    if rng.random() < 0.3:
        frame["unique"] = tokens / rng.uniform(0.5, 20, count)
    if rng.random() < 0.3:
        frame = frame.rename(columns={"tokens": "tokens.en"}).assign(**{"tokens.sw": 1e9})
    return frame


def tables(seed: int, folder: Path) -> list[str]:
    """Write a run table with wrong cells, columns or bytes, as CSV or Parquet, to be checked."""
    rng = np.random.default_rng(seed)
    frame, factor = sound(rng).astype(object), 10 ** rng.uniform(-6, 6)
    for _ in range(rng.choice([0, 0, 1, 2])):
        cell = int(rng.integers(len(frame))), int(rng.integers(frame.shape[1]))
        frame.iat[cell] = rng.choice([*NUMBERS, *TEXTS, *map(str, 10.0 ** rng.uniform(-3, 15, 40))])
    how = rng.integers(12)
    if how == 0:
        name = frame.columns[int(rng.integers(frame.shape[1]))]
        frame = frame.rename(columns={name: str(rng.choice([*TEXTS, "row", "source", "own", "tokens.", "loss"]))})
    if how == 1:
        frame = frame.iloc[:, rng.permutation(frame.shape[1])[: rng.integers(1, frame.shape[1] + 1)]]
    if how == 2:
        column = frame.columns[int(rng.integers(frame.shape[1]))]
        frame[column] = 10.0 ** rng.integers(-320, 308)
    if how in (8, 9, 10):
        column = str(rng.choice(["params", "loss"]))
        frame[column] = frame[column].map(lambda cell: cell * factor if isinstance(cell, float) else cell)
    if how == 3:
        frame["extra"] = [rng.bytes(3) if rng.random() < 0.5 else "x" for _ in range(len(frame))]
    if seed % 3:
        path = folder / "runs.csv"
        content = frame.to_csv(index=False).encode("utf-8", "surrogatepass")
    else:
        path = folder / "runs.parquet"
        kept = frame.map(lambda cell: cell.decode("latin-1") if isinstance(cell, bytes) and how != 3 else cell)
        if kept.columns.duplicated().any() or ("extra" in kept and kept["extra"].map(type).nunique() > 1):
            kept = sound(rng).astype(object)
        number = [name for name in kept if kept[name].map(lambda cell: isinstance(cell, float)).all()]
        kept = kept.astype({name: float for name in number} | {n: str for n in kept if n not in [*number, "extra"]})
        kept.to_parquet(path)
        content = path.read_bytes()
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        at = int(rng.integers(len(content) + 1))
        content = content[:at] + bytes(rng.choice(BYTES)) + content[at + int(rng.integers(0, 3)) :]
    if how == 7:
        content = content[: rng.integers(len(content) + 1)]
    path.write_bytes(content)
    return ["check", str(path)]


def options(seed: int, folder: Path) -> list[str]:
    """Ask a question with one or two of its numbers out of any range."""
    rng = np.random.default_rng(seed)
    command = str(rng.choice(list(QUESTIONS)))
    asked, names = QUESTIONS[command]
    asked, plain = list(asked), [f"{number:.3g}" for number in 10 ** rng.uniform(-4, 26, 30)]
    for name in rng.choice(names, rng.integers(1, 3)):
        value = str(rng.choice([*NUMBERS, "0.5", *plain, *TEXTS[:5]]))
        if name in asked:
            asked[asked.index(name) + 1] = value
        else:
            asked += [str(name), value]
    return [command, *asked, *(["--plot", str(folder / "figure.svg")] if rng.random() < 0.1 else [])]


def scenarios(seed: int, folder: Path) -> list[str]:
    """Write a scenario with wrong keys, values or bytes, to be planned."""
    rng = np.random.default_rng(seed)

    def value() -> str:
        drawn = str(
            rng.choice(
                [
                    *NUMBERS,
                    *[f"{n:.2e}" for n in 10 ** rng.uniform(-3, 24, 30)],
                    "[1, 2]",
                    "{}",
                    "true",
                    '"x"',
                    "[]",
                    "{en = 1}",
                ]
            )
        )
        return drawn or '""'

    lines = [f"compute = {value() if rng.random() < 0.3 else '1e21'}"]
    top = ["probability", "law_error", "weights", "unique", "shares", "bounds", "compare", "nonsense"]
    lines += [f"{name} = {value()}" for name in rng.choice(top, rng.choice([0, 0, 1]), replace=False)]
    lines += [f"{name} = {{en = {value()}}}" for name in ("weights", "unique", "shares") if rng.random() < 0.2]
    for section, names in (("limits", ["params", "tokens", "epochs", "served"]), ("expand", ["factor", "params"])):
        if rng.random() < 0.3:
            lines += [f"[{section}]", *(f"{name} = {value()}" for name in rng.choice(names, 2, replace=False))]
    content = "\n".join(lines).encode()
    if rng.random() < 0.2:
        at = int(rng.integers(len(content)))
        content = content[:at] + bytes(rng.choice(BYTES)) + content[at:]
    path = folder / "scenario.toml"
    path.write_bytes(content)
    return ["plan", str(path), str(rng.choice(["chinchilla-2022", "datablations-2023", "capacity-simulated"]))]


def posteriors(seed: int, folder: Path) -> list[str]:
    """Damage a posterior, mostly with a hash that fits, to be decided from or diagnosed."""
    rng = np.random.default_rng(seed)
    target = folder / "gift"
    shutil.copytree(_small(), target)
    how = str(rng.choice(["bytes", "arrays", "info"], p=[0.3, 0.45, 0.25]))
    if how == "bytes":
        content = bytearray((target / DRAWS).read_bytes())
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content)))
            if rng.random() < 0.7:
                content[at : at + 8] = rng.bytes(int(rng.integers(1, 9)))
            elif rng.random() < 0.5:
                del content[at:]
            else:
                del content[at : at + int(rng.integers(1, 100))]
            content = content or bytearray(b" ")
        (target / DRAWS).write_bytes(bytes(content))
    elif how == "arrays":
        with h5py.File(target / DRAWS, "r+") as file:
            _damage(file, rng)
    if how != "info" and rng.random() < 0.95:
        info = json.loads((target / INFO).read_text())
        info["draws_sha256"] = hashlib.sha256((target / DRAWS).read_bytes()).hexdigest()
        (target / INFO).write_text(json.dumps(info))
    if how == "info":
        text = (target / INFO).read_text()
        if rng.random() < 0.2:
            at = int(rng.integers(len(text)))
            text = text[:at] + str(rng.choice(TEXTS)) + text[at + int(rng.integers(0, 3)) :]
        else:
            text = json.dumps(_mutated(json.loads(text), rng))
        (target / INFO).write_text(text, encoding="utf-8")
    command, *options = DECISIONS[int(rng.integers(len(DECISIONS)))]
    return [command, str(target), *options]


@cache
def _small() -> Path:
    """Return the folder of a shipped posterior with few draws; it lasts as long as the process."""
    folder = Path(tempfile.mkdtemp())
    stored = load_posterior("chinchilla-2022")
    sampling = stored.info.sampling.model_copy(update={"kept": 25})
    few = thin(stored.draws, 25)
    replace(stored, draws=few, info=stored.info.model_copy(update={"sampling": sampling})).save(folder / "small")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "small"


def _damage(file: h5py.File, rng: np.random.Generator) -> None:
    """Change one thing in a file of draws."""
    group = file[str(rng.choice(["posterior", "posterior", "law_error", "prior"]))]
    name = str(rng.choice(list(group)))
    kind = str(rng.choice(["delete", "value", "all", "dtype", "shape", "attribute", "link", "extra", "group"]))
    member = group[name]
    if kind == "delete":
        del group[name]
    elif kind == "value" and member.dtype.kind == "f" and member.size:
        member[tuple(int(rng.integers(size)) for size in member.shape)] = rng.choice([np.nan, np.inf, -1.0, 0.0, 1e38])
    elif kind == "all" and member.dtype.kind in "fi":
        member[...] = rng.choice([0, -1, 1, 30000]) if member.dtype.kind == "i" else rng.choice([np.nan, -1, 0, 1e30])
    elif kind == "dtype":
        shape = member.shape
        del group[name]
        group.create_dataset(name, data=np.zeros(shape, rng.choice(["i4", "S3", "f8", "c8", "u1"])))
    elif kind == "shape":
        values = member[...].ravel()
        del group[name]
        group.create_dataset(name, data=values[: int(rng.integers(values.size + 1))])
    elif kind == "attribute":
        attribute = str(rng.choice(["scale_factor", "_FillValue", "CLASS", "NAME", "DIMENSION_LIST", "units", "dtype"]))
        member.attrs[attribute] = str(rng.choice(["x", "bool", "days since 2000"])) if rng.random() < 0.7 else 2.0
    elif kind == "link":
        del group[name]
        links = [h5py.SoftLink(f"/prior/{name}"), h5py.ExternalLink("/etc/hostname", "/x")]
        group[name] = links[int(rng.integers(2))]
    elif kind == "extra":
        group.create_dataset("more", shape=(int(10 ** rng.uniform(3, 11)),), dtype="f4", chunks=(1000,))
    elif kind == "group":
        group.create_group(str(rng.choice(["more", "a/b/c/d", "x"])))


def _mutated(info: Any, rng: np.random.Generator) -> Any:
    """Return a record with one of its values, at any depth, removed or replaced."""
    if rng.random() < 0.3 or not isinstance(info, dict | list) or not info:
        others: list[Any] = [None, -1, 0, 1e300, "", "x", [], {}, True, "NaN", str(rng.choice(TEXTS))]
        return others[int(rng.integers(len(others)))]
    keys = list(info) if isinstance(info, dict) else list(range(len(info)))
    key = keys[int(rng.integers(len(keys)))]
    if rng.random() < 0.15:
        return {each: info[each] for each in keys if each != key} if isinstance(info, dict) else info[:key]
    changed = _mutated(info[key], rng)
    return info | {key: changed} if isinstance(info, dict) else [*info[:key], changed, *info[key + 1 :]]


ATTACKS: dict[str, Callable[[int, Path], list[str]]] = {
    "tables": tables,
    "options": options,
    "scenarios": scenarios,
    "posteriors": posteriors,
}


def run(attack: str, seed: int) -> str:
    """Run one attack, and return what is wrong with its outcome; empty if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ATTACKS[attack](seed, Path(folder))
        wrong = outcome([*arguments, "--json"])
    return wrong and f"{attack}, seed {seed}: {wrong}; bayes-atlas {' '.join(map(ascii, arguments))}"


def outcome(arguments: list[str]) -> str:
    """Run a command in a child of this process, and return what is wrong with its outcome; empty if nothing is."""
    receive, send = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about threads of libraries; the child runs one command and exits
        child = os.fork()
    if child == 0:
        os.close(receive)
        try:
            signal.alarm(STUCK)
            os.write(send, _outcome(arguments).encode()[:4000])
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        wrong = pipe.read().decode(errors="replace")
    status = os.waitpid(child, 0)[1]
    return f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else wrong


def _outcome(arguments: list[str]) -> str:
    printed, told, started = io.StringIO(), io.StringIO(), time.process_time()
    try:
        with redirect_stdout(printed), redirect_stderr(told), warnings.catch_warnings():
            warnings.simplefilter("error")
            main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # every traceback is a finding
        return f"{type(error).__name__}: {error}"
    if (seconds := time.process_time() - started) > LONGEST:
        return f"took {seconds:.0f} CPU-s"
    if any(not each.isprintable() and each != "\n" for each in told.getvalue()):
        return "a control character reached the terminal"
    if code == 2:
        return "" if told.getvalue() and not printed.getvalue() else "refused without one message"
    if code:
        return f"exit code {code}"
    return json_fault(printed.getvalue())


def json_fault(text: str) -> str:
    """Return what keeps `text` from being a JSON document; empty if nothing does."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError as error:
        return f"no JSON document: {error}"
    return ""


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=list(ATTACKS))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first attack")
    given = parser.parse_args()
    found = [wrong for seed in range(given.seed, given.seed + given.count) if (wrong := run(given.attack, seed))]
    print(*found, f"{given.attack}: {given.count} from seed {given.seed}, {len(found)} failed", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    _main()
