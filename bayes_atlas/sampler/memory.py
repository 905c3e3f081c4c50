"""Memory checks: device memory for the parts of a run, and memory maps of the process for compiled programs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from bayes_atlas.errors import InputError

GIB = 2**30
FULL = 0.6  # share of the allowed memory maps above which compiled programs are dropped


def needed(compiled: Any) -> int:
    """Return the bytes that a compiled part needs on each device: inputs, outputs and XLA's planned temporaries.

    On CPU XLA does not report temporaries, which there are one chain's gradient on each core.
    """
    planned = compiled.memory_analysis()
    return (
        planned.argument_size_in_bytes
        + planned.output_size_in_bytes
        + planned.temp_size_in_bytes
        - planned.alias_size_in_bytes
    )


def capacity(device: jax.Device) -> int:
    """Return the bytes that jax may use on a device. CPU devices share the machine's memory."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // len(jax.local_devices())


def check_memory(parts: Mapping[str, int], datasets: int, chains: int) -> None:
    """Check that every part of a run fits into the memory of a device.

    Args:
        parts: bytes that each part needs on each device.
        datasets: number of data sets.
        chains: number of chains on each data set.

    Raises:
        InputError: a part needs more memory than there is; the message gives both sizes.
    """
    device = jax.local_devices()[0]
    there_is = capacity(device)
    part, size = max(parts.items(), key=lambda item: item[1])
    if size <= there_is:
        return
    tables = "the table" if datasets == 1 else f"{datasets} tables at once"
    raise InputError(
        f"{tables} with {chains} chains would need about {size / GIB:.2g} GiB of memory on each device ({part}), but "
        f"{device.device_kind} has {there_is / GIB:.2g} GiB; fit fewer tables, languages or chains at once, or fewer "
        f"draws, or use a platform with more memory"
    )


def make_room() -> None:
    """Drop the compiled programs of this process if its memory maps approach the number that Linux allows.

    The programs that XLA compiles for the CPU take some 1,700 maps for each model and shape. Beyond the limit the
    process crashes without a Python error. A dropped program is compiled again when needed, or read from the cache.
    """
    if memory_maps() > FULL * most_memory_maps():
        jax.clear_caches()


def memory_maps() -> int:
    """Return the number of memory maps of this process; 0 if the system does not count them."""
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


def most_memory_maps() -> float:
    """Return the number of memory maps that a process may have."""
    limit = Path("/proc/sys/vm/max_map_count")
    return float(limit.read_text()) if limit.exists() else float("inf")
