"""Programs that a user runs from the repo: where they live, and what is left of them."""

from __future__ import annotations

import os
from pathlib import Path


def environment(folder: Path) -> dict[str, str]:
    """An environment with this folder for temporary files, and settings that must have no effect.

    They are those of some other daemon.
    """
    return os.environ | {
        "TMPDIR": str(folder),
        "HOOKD_ADDRESS": "127.0.0.1:1",
        "HOOKD_PROJECT": "elsewhere",
        "HOOKD_LISTEN": "nonsense",
    }


def processes_of(folder: Path) -> list[str]:
    """The processes that were started with the folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue  # It has ended meanwhile, or is somebody else's.
    return found
