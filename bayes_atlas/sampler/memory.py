"""Whether the device has the memory that the parts of a run need, and the process room for what is compiled for it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from bayes_atlas.errors import InputError

GIB = 2**30
FULL = 0.6  # share of the memory maps a process may have, above which compiled programs are dropped


def needed(compiled: Any) -> int:
    """Bytes that a compiled part needs on each device: what goes in, what comes out, and what XLA plans in between.

    On CPU XLA does not say what it needs in between, which there is one chain's gradient on each core.
    """
    planned = compiled.memory_analysis()
    return (
        planned.argument_size_in_bytes
        + planned.output_size_in_bytes
        + planned.temp_size_in_bytes
        - planned.alias_size_in_bytes
    )


def capacity(device: jax.Device) -> int:
    """Bytes that jax may use of a device; CPU devices share the machine's memory."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // len(jax.local_devices())


def check_memory(parts: Mapping[str, int], datasets: int, chains: int) -> None:
    """That every part fits.

    Raises:
        InputError: one needs more than there is; with both sizes.
    """
    device = jax.local_devices()[0]
    there_is = capacity(device)
    part, size = max(parts.items(), key=lambda item: item[1])
    if size <= there_is:
        return
    tables = "the table" if datasets == 1 else f"{datasets} tables at once"
    raise InputError(
        f"{tables} with {chains} chains would need about {size / GIB:.2g} GiB of memory on each device ({part}), and "
        f"{device.device_kind} has {there_is / GIB:.2g} GiB; fit fewer tables, languages or chains at once, or fewer "
        f"draws, or use a platform with more memory"
    )


def make_room() -> None:
    """Drop all that this process has compiled, where its memory maps come near the number that Linux allows.

    What XLA compiles for the CPU takes some 1,700 maps for each model and shape, and beyond the limit the process
    crashes without a Python error. What is dropped and asked for again is compiled again, or read from the cache.
    """
    if memory_maps() > FULL * most_memory_maps():
        jax.clear_caches()


def memory_maps() -> int:
    """Memory maps of this process; 0 where they are not counted."""
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


def most_memory_maps() -> float:
    """Memory maps that a process may have."""
    limit = Path("/proc/sys/vm/max_map_count")
    return float(limit.read_text()) if limit.exists() else float("inf")
