"""What a figure depends on: the machine, its disk, the versions."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path


def fdatasync_ms(folder: Path, rounds: int = 200) -> float:
    """The median time, in milliseconds, to append 4 KiB to a file and sync it."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        block = os.urandom(4096)
        for _ in range(rounds):
            begin = time.perf_counter()
            file.write(block)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def describe(folder: Path) -> dict[str, str]:
    """The facts that every report begins with."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "grpcio": version("grpcio"),
        "rocksdict": version("rocksdict"),
        "fdatasync of 4 KiB": f"{fdatasync_ms(folder):.2f} ms (median)",
    }


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no resident memory")
