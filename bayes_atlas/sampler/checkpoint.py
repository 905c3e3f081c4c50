"""Checkpoints of a run in progress, from which it can resume: plain arrays, never pickled.

A checkpoint is a folder that one process at a time may write. Every file in it carries a hash of its arrays, of its own
name and of the run that it belongs to, so that a damaged, exchanged or foreign file is told and never sampled on from.
"""

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from bayes_atlas.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows, where nothing keeps two fits from one output
    fcntl = None  # type: ignore[assignment]

IDENTITY = "identity.json"
LOCK = "lock"
HASH = "sha256"  # name of the array with a file's hash
# Errors of numpy and zipfile for damaged files; RuntimeError includes NotImplementedError.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
AFRESH = "leave out --resume to sample from the start"


class Checkpoint:
    """A folder of named arrays that belongs to one run: one model, one table, one seed and one set of settings."""

    def __init__(self, folder: Path, run: Mapping[str, str], *, resume: bool) -> None:
        """Open `folder`, which is this process's alone until `close`, and empty it unless `resume` is set.

        Args:
            folder: created if it does not exist.
            run: properties that identify the run.
            resume: continue the run in the folder.

        Raises:
            InputError: another process writes to `folder`; or `resume` is set, but `folder` holds no run or a
                different one.
        """
        self.folder, self.run = folder, dict(run)
        there = folder / IDENTITY
        if resume and not there.is_file():
            raise InputError(f"there is no run to resume in {folder}; {AFRESH}")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        try:
            if resume:
                self._check(there)
                return
            _empty(folder)
            there.write_text(json.dumps(self.run, indent=1) + "\n", encoding="utf-8")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write to the folder."""
        self._lock.close()

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write `arrays` under `name`. If the process is killed, the previous version stays intact."""
        path = self._path(name)
        with path.with_suffix(".part").open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **{HASH: np.array(self._hash(name, arrays))})
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".part").replace(path)

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays that were saved under `name`, or None if there are none.

        Raises:
            InputError: the file is damaged, or another one took its place.
        """
        path = self._path(name)
        if not os.path.lexists(path):
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except UNREADABLE as error:
            raise InputError(f"{path} of the run to resume cannot be read ({error}); {AFRESH}") from error
        stated = str(arrays.pop(HASH, ""))
        if stated != self._hash(name, arrays):
            raise InputError(f"{path} of the run to resume was damaged or exchanged: its hash differs; {AFRESH}")
        return arrays

    def blocks(self, name: str, count: int) -> list[dict[str, np.ndarray]]:
        """Return the arrays saved under ``<name>1`` to ``<name><count>``.

        Raises:
            InputError: one of them is missing or, as in `load`, damaged.
        """
        found = []
        for number in range(1, count + 1):
            arrays = self.load(f"{name}{number}")
            if arrays is None:
                raise InputError(f"{self._path(f'{name}{number}')} of the run to resume is missing; {AFRESH}")
            found.append(arrays)
        return found

    def _check(self, there: Path) -> None:
        try:
            begun = json.loads(there.read_text(encoding="utf-8"))
            changed = [name for name in self.run if begun.get(name) != self.run[name]]
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{there} of the run to resume cannot be read ({error}); {AFRESH}") from error
        if changed:
            raise InputError(
                f"the run in {self.folder} has a different {', '.join(changed)}; repeat the command that began it, or "
                f"{AFRESH}"
            )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _hash(self, name: str, arrays: Mapping[str, np.ndarray]) -> str:
        place = json.dumps([self.run, name, sorted(arrays)])
        values = digest([np.asarray(arrays[key]) for key in sorted(arrays)])
        return hashlib.sha256(f"{place} {values}".encode()).hexdigest()


def remove(folder: Path) -> None:
    """Remove a checkpoint whose posterior is stored; InputError if a process still writes to it."""
    if folder.is_dir():
        with _locked(folder):
            shutil.rmtree(folder)


def check_free(folder: Path) -> None:
    """Raise an InputError if a process writes to the checkpoint `folder`."""
    if (folder / LOCK).is_file():
        _locked(folder).close()


def begun(folder: Path) -> bool:
    """Return True if `folder` holds progress that a run can resume from."""
    return any(folder.glob("*.npz"))


def _locked(folder: Path) -> IO[str]:
    """Return the open lock file of `folder`. The lock ends with its process, however that ends."""
    path = folder / LOCK
    if path.is_dir():
        raise InputError(f"{path} is a folder, where the lock of a fit belongs; remove {folder}")
    file = path.open("a+", encoding="utf-8")
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        number = file.read().strip()
        named = f" (process {number})" if number else ""
        file.close()
        raise InputError(
            f"another fit{named} keeps its progress in {folder}; wait for its end, or choose another folder"
        ) from None
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        file.close()
        folder.mkdir(parents=True, exist_ok=True)  # its owner removed it meanwhile
        return _locked(folder)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != LOCK:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def digest(arrays: list[np.ndarray]) -> str:
    """Return the sha256 of arrays, including their shapes and types."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
