"""Tells whether a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

#: What changes when a file is replaced, written to or given other rights; None
#: without a file.
Mark = tuple[int, int, int, int] | None


def mark(path: Path) -> Mark:
    """Something that differs whenever a file does; None if there is no file.

    Raises:
        OSError: it cannot be said.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size
