"""What a figure depends on: the machine, its disk, the versions."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path

from bench.disk import sync_times


def describe(folder: Path) -> dict[str, str]:
    """The facts that every report begins with.

    Args:
        folder: where the data of all servers will be.
    """
    sync = statistics.median(sync_times(folder, 4096, 200)) * 1000
    return {
        "processor": f"{_fact('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_fact('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "python": sys.version.split()[0],
        "hookd": version("hookd-daemon"),
        "grpcio": version("grpcio"),
        "rocksdict": version("rocksdict"),
        "fdatasync of 4 KiB": f"{sync:.2f} ms (median)",
    }


def _fact(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0 unknown"


def _file_system(folder: Path) -> str:
    """The kind of the file system that holds a folder."""
    place = str(folder.absolute())
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if place.startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
