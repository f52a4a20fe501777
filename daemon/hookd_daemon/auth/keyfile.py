"""The file of the keys, beside the database: hashes only, written durably.

It is read by the daemon and written by ``hookd keys``, while the daemon runs
as well: so it is outside of the lock of the data directory, and a change
replaces the file in one step.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hookd_daemon.auth.keys import Key
from hookd_daemon.auth.mark import Mark, mark

FILE_NAME = "keys.json"


class KeyFileError(Exception):
    """The file of the keys cannot be used; the message says why."""


class DamagedKeysError(KeyFileError):
    """What the file holds is wrong, and stays so until it changes."""


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    keys: list[Key]

    @model_validator(mode="after")
    def _check_ids(self) -> _Content:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same id")
        return self


class KeyFile:
    """The keys of a data directory.

    Args:
        data_dir: the data directory; need not be there.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE_NAME

    def mark(self) -> Mark:
        """Something that differs whenever the file does.

        Raises:
            KeyFileError: it cannot be said.
        """
        try:
            return mark(self.path)
        except OSError as error:
            raise self._unreadable(error) from None

    def read(self) -> list[Key]:
        """All keys, also those that are revoked or expired; none if there is no file.

        Raises:
            DamagedKeysError: the file is damaged.
            KeyFileError: the file cannot be read now.
        """
        try:
            text = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            return _Content.model_validate_json(text).keys
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "it"
            why = error.errors()[0]["msg"]
            raise DamagedKeysError(f"the keys {self.path} are damaged: {where}: {why}") from None

    def _unreadable(self, error: OSError) -> KeyFileError:
        return KeyFileError(f"the keys {self.path} cannot be read: {error.strerror}")

    @contextmanager
    def change(self) -> Iterator[list[Key]]:
        """Gives the keys to be changed, and writes them when the block ends without an error.

        Who changes them at the same time waits.

        Raises:
            KeyFileError: they cannot be read or written.
        """
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise KeyFileError(
                f"the data directory {folder} cannot be used: {error.strerror}"
            ) from None
        try:
            # Of the directory itself: a file to lock would be one more to keep.
            fcntl.flock(handle, fcntl.LOCK_EX)
            keys = self.read()
            yield keys
            content = _Content(keys=keys)
            try:
                self._write(handle, content.model_dump_json(indent=1) + "\n")
            except OSError as error:
                raise KeyFileError(
                    f"the keys {self.path} cannot be written: {error.strerror}"
                ) from None
        finally:
            os.close(handle)

    def _write(self, folder: int, text: str) -> None:
        # mkstemp makes it for its owner alone.
        descriptor, fresh = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                if os.geteuid() == 0:
                    # The daemon, which may be another user, has to read it.
                    owner = os.fstat(folder)
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(fresh)
            raise
        os.fsync(folder)
