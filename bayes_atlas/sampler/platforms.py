"""jax's devices, precision and cache of compiled programs."""

import os
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

    Returns:
        The folder.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bayes-atlas" / "compiled"
    if jax.config.jax_compilation_cache_dir is None and jax.config.jax_enable_compilation_cache:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
