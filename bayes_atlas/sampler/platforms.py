"""jax's devices, precision and cache of compiled programs."""

import os
import stat
import warnings
from contextlib import AbstractContextManager
from pathlib import Path

import jax

from bayes_atlas.errors import InputError

PLATFORMS = ("cpu", "gpu", "tpu")


def use_platform(platform: str) -> None:
    """Choose the platform and, on CPU, one device per core, if jax has not started yet.

    Raises:
        InputError: the platform is unknown or not available, or jax already runs on another one in this process.
    """
    if platform not in PLATFORMS:
        raise InputError(f"platform is {platform!r}; choose one of: {', '.join(PLATFORMS)}")
    try:
        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(platform, platform))
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except RuntimeError:
        pass  # jax already runs, with the devices that it has
    try:
        backend = jax.default_backend()
    except RuntimeError as error:
        raise InputError(
            f"platform {platform} is not available ({error}); use --platform cpu, or install bayes-atlas with the "
            f"extra for this platform ([cuda], [tpu])"
        ) from error
    if backend != platform:
        raise InputError(f"jax already runs on {backend} in this process; fit on {platform} in a new process")


def precision(platform: str) -> AbstractContextManager[object]:
    """Return a context with double precision on CPU and single precision elsewhere."""
    return jax.enable_x64(platform == "cpu")


def keep_compiled() -> Path:
    """Cache compiled programs in a private folder of the user, so that other processes need not compile them again.

    The folder, ``bayes-atlas`` in ``$XDG_CACHE_HOME`` or ``~/.cache``, may be deleted at any time. jax's own settings
    (``JAX_COMPILATION_CACHE_DIR``, ``JAX_ENABLE_COMPILATION_CACHE``) take precedence.

    A program that somebody else put there would be executed, and could sample another posterior without a word. So a
    folder that others own or may write to is not used, with a warning.

    Returns:
        The folder.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bayes-atlas" / "compiled"
    if jax.config.jax_compilation_cache_dir is None and jax.config.jax_enable_compilation_cache:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if open_to_others := [each for each in (folder, folder.parent) if not _private(each)]:
            warnings.warn(
                f"{open_to_others[0]} is not used as the cache of compiled programs, since others own it or may write "
                f"to it, so this fit compiles anew; make it yours (chmod go-w), or remove it",
                stacklevel=3,
            )
            return folder
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _private(folder: Path) -> bool:
    """Return True if `folder` is a real folder of this user that nobody else may write to."""
    about = folder.lstat()
    writable = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not writable
