"""Whether the device has the memory that the parts of a run need, asked before anything is sampled."""

import os
from collections.abc import Mapping
from typing import Any

import jax

from bayes_atlas.errors import InputError

GIB = 2**30


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
