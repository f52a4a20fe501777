"""The bare disk: what a sync takes, and how many records could be synced at best."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

#: About what a claim writes to the log of the store.
RECORD_BYTES = 300
GROUPS = (1, 16, 64, 256)


def sync_times(folder: Path, block: int, rounds: int) -> list[float]:
    """Seconds that each of some appends of ``block`` bytes takes with its ``fdatasync``."""
    times = []
    data = os.urandom(block)
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(rounds):
            begin = time.perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return times


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Measures the disk that holds a folder.

    Args:
        folder: where to write.
        rounds: how many syncs for each figure.
    """
    block = sorted(sync_times(folder, 4096, rounds))
    groups = []
    for group in GROUPS:
        times = sync_times(folder, group * RECORD_BYTES, rounds)
        groups.append(
            {
                "records": group,
                "median_ms": statistics.median(times) * 1000,
                "records_per_second": group * len(times) / sum(times),
            }
        )
    return {
        "median_ms": statistics.median(block) * 1000,
        "p99_ms": block[int(len(block) * 0.99)] * 1000,
        "per_second": len(block) / sum(block),
        "record_bytes": RECORD_BYTES,
        "groups": groups,
    }
