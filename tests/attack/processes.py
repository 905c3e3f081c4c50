"""Damaged checkpoints and killed fits: nothing that was sampled is lost, and no other draws come of it.

    python -m tests.attack.processes checkpoints --count 500 --seed 0
    python -m tests.attack.processes kills --count 100 --seed 0

An attack on a checkpoint copies that of a fit, damages it and goes on. It must be refused, or give the draws of a fit
that nobody damaged. A kill ends a fit by SIGKILL, SIGTERM or SIGINT, in half of the cases while it saves: at the k-th
time that it touches the file system after its last draw. Then the same command with ``--resume`` must give the draws
of a fit that nobody killed, from the progress where there was any.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_atlas import load_posterior
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.inference.fit import fit
from tests.killing import KILLER

DRAWS = 1500
OPTIONS = {"chains": 2, "warmup": 150, "draws": 300, "law_error": False}
LONGEST = 300.0  # seconds of a fit
AIMED = (
    KILLER
    + """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
moment, number = int(sys.argv[1]), int(sys.argv[2])

if moment:
    import bayes_atlas.inference.fit as fitting
    real = fitting.recorded

    def recorded(*arguments, **options):
        sys.addaudithook(killer(moment, number))
        return real(*arguments, **options)

    fitting.recorded = recorded
from bayes_atlas.cli import main
main(sys.argv[3:])
"""
)


def _table() -> pd.DataFrame:
    sizes = [(params, tokens) for params in (1e8, 1e9, 1e10) for tokens in (1e9, 1e10)]
    rows = [(f"r{i}", "en", p, t, 2 + (1e9 / p) ** 0.3 / 3 + (1e9 / t) ** 0.3) for i, (p, t) in enumerate(sizes)]
    return pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "loss"])


# Checkpoints


def checkpoints(seed: int) -> str:
    """Damage a checkpoint and go on from it; return what is wrong, empty if nothing is."""
    rng = np.random.default_rng(seed)
    template, whole = _template()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "unfinished"
        shutil.copytree(template, folder)
        what = _damage(folder, rng)
        try:
            found = _fitted(folder, resume=True)
        except InputError:
            return ""
        except BaseException as error:  # every traceback is a finding
            return f"checkpoints, seed {seed} ({what}): {type(error).__name__}: {error}"
    same = all(np.array_equal(found[name], whole[name]) for name in whole)
    return "" if same else f"checkpoints, seed {seed} ({what}): other draws without a word"


@cache
def _template() -> tuple[Path, dict[str, np.ndarray]]:
    """Return the folder of a fit that was killed, and the draws that it would have given."""
    place = Path(tempfile.mkdtemp())

    def killed(progress: object) -> None:
        if getattr(progress, "done", 0) == 350:
            raise RuntimeError("killed")

    try:
        _fitted(place / "killed", report=killed)
    except RuntimeError:
        return place / "killed", _fitted(place / "whole")
    raise AssertionError


def _fitted(
    folder: Path, *, resume: bool = False, report: Callable[..., None] = lambda progress: None
) -> dict[str, np.ndarray]:
    runs = runs_from_frame(_table())
    posterior = fit(runs, "chinchilla", **OPTIONS, checkpoint=folder, resume=resume, report=report)  # type: ignore[arg-type]
    return posterior.parameters("en")


def _damage(folder: Path, rng: np.random.Generator) -> str:
    paths = sorted(folder.iterdir())
    path, other = (paths[int(index)] for index in rng.choice(len(paths), 2, replace=False))
    how = str(rng.choice(["remove", "truncate", "flip", "exchange", "copy", "empty", "folder", "text"]))
    content = path.read_bytes()
    if how == "remove":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(content[: int(rng.integers(len(content) + 1))])
    elif how == "flip" and content:
        at = int(rng.integers(len(content)))
        path.write_bytes(content[:at] + bytes([content[at] ^ int(rng.integers(1, 256))]) + content[at + 1 :])
    elif how == "exchange":
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif how == "copy":
        path.write_bytes(other.read_bytes())
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "text":
        path.write_text('{"a": 1}')
    return f"{how} {path.name}"


# Kills


def kills(seed: int) -> str:
    """Kill a fit and resume it; return what is wrong, empty if nothing is."""
    rng = np.random.default_rng(seed)
    number = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT][seed % 3]
    aimed = int(rng.integers(1, 60)) if seed % 2 else 0
    whole, took = _whole()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _table().to_csv(folder / "runs.csv", index=False)
        process = subprocess.Popen(
            _command(aimed, number), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if not aimed:
            time.sleep(float(rng.uniform(0, took)))
            process.send_signal(number)
        told = process.communicate(timeout=LONGEST)[1].decode(errors="replace")
        if "Traceback" in told and "Exception ignored in" not in told:  # Python drops interrupts in callbacks of jax
            return f"kills, seed {seed}: a traceback: {told[-300:]}"
        progress = (folder / ".out.unfinished").is_dir() and any((folder / ".out.unfinished").glob("*.npz"))
        stored = (folder / "out").is_dir()
        if not progress and not stored and aimed:
            return f"kills, seed {seed}: neither progress nor posterior is left, though all was sampled"
        if stored and not progress:
            return _same(folder, whole, seed)
        again = [*_command(0, number), *["--resume"] * progress, *["--force"] * stored]
        finished = subprocess.run(again, cwd=folder, capture_output=True, timeout=LONGEST, text=True)
        if finished.returncode not in (0, 1) and "already holds a posterior" not in finished.stderr:
            return f"kills, seed {seed}: not resumed: {finished.stderr[-300:]}"
        left = [path.name for path in folder.iterdir() if path.name not in ("runs.csv", "out")]
        return _same(folder, whole, seed) or (f"kills, seed {seed}: left behind: {left}" if left else "")


def _same(folder: Path, whole: dict[str, np.ndarray], seed: int) -> str:
    found = load_posterior(folder / "out").parameters("en")
    same = all(np.array_equal(found[name], whole[name]) for name in whole)
    return "" if same else f"kills, seed {seed}: other draws than without the kill"


def _command(moment: int, number: int) -> list[str]:
    asked = ["fit", "runs.csv", "--model", "chinchilla", "--chains", "2", "--warmup", "150", "--draws", str(DRAWS)]
    return [sys.executable, "-c", AIMED, str(moment), str(int(number)), *asked, "-o", "out"]


@cache
def _whole() -> tuple[dict[str, np.ndarray], float]:
    """Return the draws of a fit that nobody killed, and its seconds."""
    with tempfile.TemporaryDirectory() as place:
        _table().to_csv(Path(place) / "runs.csv", index=False)
        for _ in range(2):  # the first compiles
            started = time.monotonic()
            subprocess.run([*_command(0, 9), "--force"], cwd=place, check=False, capture_output=True)
        return load_posterior(Path(place) / "out").parameters("en"), time.monotonic() - started


ATTACKS = {"checkpoints": checkpoints, "kills": kills}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attack", choices=list(ATTACKS))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first attack")
    given = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    seeds = range(given.seed, given.seed + given.count)
    found = [wrong for seed in seeds if (wrong := ATTACKS[given.attack](seed))]
    print(*found, f"{given.attack}: {given.count} from seed {given.seed}, {len(found)} failed", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    _main()
