"""Directories that appear whole, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hookd_daemon.store.rocks.directory import sync_directory

#: What a directory's name ends with until it is whole.
UNFINISHED = ".incomplete"


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Gives a new directory to fill, which becomes ``target`` at the end of the block.

    It stands beside the target under another name, locked for this process. If
    the block raises, it is removed. If the process dies, it stays behind, and
    whoever comes next with the same target removes it.

    Args:
        target: must not be there, or be an empty directory.

    Raises:
        FileExistsError: another process is about to make this target.
        OSError: it cannot be written, or something has come into the target meanwhile.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = target.with_name(target.name + UNFINISHED)
    remove_abandoned(fresh)
    fresh.mkdir(mode=0o700)
    handle = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield fresh
        os.fsync(handle)
        fresh.rename(target)
        sync_directory(target.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    finally:
        os.close(handle)


def remove_all_abandoned(folder: Path) -> None:
    """Removes the remains of all directories in a folder that were never finished."""
    for fresh in folder.glob(f"*{UNFINISHED}"):
        remove_abandoned(fresh)


def remove_abandoned(fresh: Path) -> None:
    """Removes an unfinished directory unless some process is at it; needs not be there."""
    try:
        handle = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # not there, or none of ours
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(fresh, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)
