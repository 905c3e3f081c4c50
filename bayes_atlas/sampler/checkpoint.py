"""Checkpoints of a run in progress, from which it can resume: plain arrays, never pickled."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bayes_atlas.errors import InputError

IDENTITY = "identity.json"


class Checkpoint:
    """A folder of named arrays that belongs to one run: one model, one table, one seed and one set of settings."""

    def __init__(self, folder: Path, run: Mapping[str, str], *, resume: bool) -> None:
        """Open `folder`, and empty it unless `resume` is set.

        Args:
            folder: created if it does not exist.
            run: properties that identify the run.
            resume: continue the run in the folder.

        Raises:
            InputError: `resume` is set, but `folder` holds no run or a different one.
        """
        self.folder = folder
        there = folder / IDENTITY
        if resume and not there.is_file():
            raise InputError(f"there is no run to resume in {folder}; leave out --resume to sample from the start")
        if resume:
            begun = json.loads(there.read_text(encoding="utf-8"))
            changed = [name for name in run if begun.get(name) != run[name]]
            if changed:
                raise InputError(
                    f"the run in {folder} has a different {', '.join(changed)}; repeat the command that began it, or "
                    f"leave out --resume to sample from the start"
                )
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        there.write_text(json.dumps(dict(run), indent=1) + "\n", encoding="utf-8")

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write `arrays` under `name`. If the process is killed, the previous version stays intact."""
        path = self._path(name)
        with path.with_suffix(".part").open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".part").replace(path)

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays that were saved under `name`, or None."""
        path = self._path(name)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def remove(self) -> None:
        """Remove the folder after the end of its run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


def digest(arrays: list[np.ndarray]) -> str:
    """Return the sha256 of arrays, including their shapes and types."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
