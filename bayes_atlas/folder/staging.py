"""Replacing a folder at once, and clearing up after processes that died while they did so.

A new folder is written beside the target, in a hidden folder whose name says which process of which machine made it.
Then it takes the target's place by a rename, the old one having been moved aside. A process that is killed leaves its
hidden folder; the next one that looks at the target (`sweep`) puts what is complete in its place and removes the rest.
"""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW, OLD, WRITTEN = "new", "old", "written"


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write to, which then takes the place of `target`, or leaves no trace after an error.

    Args:
        target: an absolute path; its parent exists.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.{_host()}.{os.getpid()}.", dir=target.parent))
    new, old = folder / NEW, folder / OLD
    try:
        new.mkdir()
        yield new
        (folder / WRITTEN).touch()
        if target.exists():
            os.rename(target, old)
        os.rename(new, target)
    finally:
        if old.exists() and not target.exists():
            os.rename(old, target)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(target: Path) -> None:
    """Finish what dead processes of this machine began at `target`, an absolute path, and remove what they left."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.{re.escape(_host())}\.(\d+)\.\w+")
    try:
        left = [path for path in target.parent.iterdir() if (match := pattern.fullmatch(path.name)) and _dead(match[1])]
    except OSError:
        return
    for folder in left:
        for part in (NEW,) * (folder / WRITTEN).exists() + (OLD,):
            if (folder / part).is_dir() and not os.path.lexists(target):
                os.rename(folder / part, target)
        shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return re.sub(r"\W", "-", socket.gethostname())


def _dead(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
