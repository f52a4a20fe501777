"""The data directory: who may open it, and which format it has.

DIR/lock        locked while a daemon runs; holds its process id
DIR/format      the version of everything in DIR, a number in text
DIR/db/         RocksDB
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

#: The version of the keys and records that this code writes.
FORMAT = 1


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


class DataDirectory:
    """A data directory that is locked for this process.

    Raises:
        DataDirectoryError: another daemon has it, it cannot be written, or a
            newer hookd made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataDirectoryError(
                f"the data directory {path} cannot be made: it, or what it is in, is a file"
            ) from error
        except OSError as error:
            raise DataDirectoryError(
                f"the data directory {path} cannot be written: {error.strerror}"
            ) from error
        try:
            self._take_lock()
            self._check_format()
        except BaseException:
            os.close(self._lock)
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise DataDirectoryError(
                f"the data directory {self.path} is in use by another hookd (process {holder}); "
                "stop it first, or name another directory with --data-dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _check_format(self) -> None:
        file = self.path / "format"
        if not file.exists():
            if self.database.exists():
                raise DataDirectoryError(f"the data directory {self.path} has lost its format file")
            write_durably(file, f"{FORMAT}\n")
            return
        text = file.read_text(errors="replace").strip()
        if not text.isdecimal():
            raise DataDirectoryError(f"the format file of {self.path} is damaged")
        if int(text) > FORMAT:
            raise DataDirectoryError(
                f"the data directory {self.path} has format {text}, and this hookd knows only "
                f"formats up to {FORMAT}: a newer hookd made it; use that one"
            )

    @property
    def database(self) -> Path:
        """Where RocksDB keeps its files."""
        return self.path / "db"

    def close(self) -> None:
        """Gives the directory free for others."""
        os.close(self._lock)


def write_durably(file: Path, text: str) -> None:
    """Writes a small file so that after a crash it is there whole or not at all."""
    fresh = file.with_name(file.name + ".new")
    with fresh.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(file)
    sync_directory(file.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
