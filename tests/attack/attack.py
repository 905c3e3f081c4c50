"""Mutated tables, options and scenarios: each ends in an answer or in one message, never in a traceback.

``make attack`` runs thousands, ``tests/attack/test_attack.py`` a sample. An attack is a function from a seed to the
arguments of a command. ``python -m tests.attack.attack tables --count 1 --seed 17`` repeats the one of seed 17.
"""

import argparse
import io
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_atlas.cli import main

LONGEST = 20.0  # seconds of an answer
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


ATTACKS: dict[str, Callable[[int, Path], list[str]]] = {"tables": tables, "options": options, "scenarios": scenarios}


def run(attack: str, seed: int) -> str:
    """Run one attack, and return what is wrong with its outcome; empty if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ATTACKS[attack](seed, Path(folder))
        wrong = outcome([*arguments, "--json"])
    return wrong and f"{attack}, seed {seed}: {wrong}; bayes-atlas {' '.join(map(ascii, arguments))}"


def outcome(arguments: list[str]) -> str:
    """Run a command in this process, and return what is wrong with its outcome; empty if nothing is."""
    printed, told, started = io.StringIO(), io.StringIO(), time.perf_counter()
    try:
        with redirect_stdout(printed), redirect_stderr(told), warnings.catch_warnings():
            warnings.simplefilter("error")
            main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # every traceback is a finding
        return f"{type(error).__name__}: {error}"
    if (seconds := time.perf_counter() - started) > LONGEST:
        return f"took {seconds:.0f} s"
    if any(not each.isprintable() and each != "\n" for each in told.getvalue()):
        return "a control character reached the terminal"
    if code == 2:
        return "" if told.getvalue() and not printed.getvalue() else "refused without one message"
    if code:
        return f"exit code {code}"
    return _json_fault(printed.getvalue())


def _json_fault(text: str) -> str:
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
