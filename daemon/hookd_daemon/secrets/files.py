"""Secrets in files: ``DIRECTORY/PROJECT/NAME``, a secret a line.

They are read for each request, so that a change counts at once, and written
by ``hookd secrets`` while the daemon runs: a change replaces a file in one step.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: A file of secrets has at most so many bytes, and so many secrets.
MAX_BYTES = 64 * 1024
MAX_SECRETS = 16


class SecretError(Exception):
    """A secret cannot be used; the message says why, and never what it is."""


class SecretMissingError(SecretError):
    """There is no secret of this name."""


class SecretFiles:
    """The secrets below a directory.

    Args:
        directory: need not be there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, project: str, name: str) -> Path:
        """Where a secret is.

        Raises:
            SecretError: there can be no such project or name.
        """
        for what, text in (("project", project), ("name", name)):
            if not _PART.fullmatch(text):
                raise SecretError(
                    f"the {what} of a secret must be 1 to 64 letters, digits, '.', '_' or '-', "
                    "and begin with a letter or a digit"
                )
        return self._directory / project / name

    def read(self, project: str, name: str) -> list[bytes]:
        """The secrets of this name: one, or several of which each counts.

        Raises:
            SecretMissingError: there is none.
            SecretError: they cannot be read.
        """
        path = self.path(project, name)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise SecretMissingError(f"there is no secret {path}") from None
        except OSError as error:
            raise SecretError(f"the secret {path} cannot be read: {error.strerror}") from None
        return _lines(path, content)

    def write(self, project: str, name: str, content: bytes) -> int:
        """Writes secrets, durably, in the place of those of this name.

        Args:
            project: whose they are.
            name: their name.
            content: a secret a line.

        Returns:
            How many they are.

        Raises:
            SecretError: they cannot be written, or are none.
        """
        path = self.path(project, name)
        found = _lines(path, content)
        try:
            _make(path.parent)
            _replace(path, b"\n".join(found) + b"\n")
        except OSError as error:
            raise SecretError(f"the secret {path} cannot be written: {error.strerror}") from None
        return len(found)

    def remove(self, project: str, name: str) -> None:
        """Removes the secrets of this name.

        Raises:
            SecretMissingError: there are none.
            SecretError: they cannot be removed.
        """
        path = self.path(project, name)
        try:
            path.unlink()
            _sync(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            raise SecretMissingError(f"there is no secret {path}") from None
        except OSError as error:
            raise SecretError(f"the secret {path} cannot be removed: {error.strerror}") from None

    def names(self) -> Iterator[tuple[str, str]]:
        """All projects and names that have secrets, in their order.

        Raises:
            SecretError: they cannot be listed.
        """
        try:
            for folder in sorted(_visible(self._directory)):
                for path in sorted(_visible(folder)):
                    yield folder.name, path.name
        except OSError as error:
            raise SecretError(
                f"the secrets in {self._directory} cannot be listed: {error.strerror}"
            ) from None


def _visible(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _PART.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _lines(path: Path, content: bytes) -> list[bytes]:
    if len(content) > MAX_BYTES:
        raise SecretError(f"the secret {path} must be at most {MAX_BYTES} bytes")
    found = [line.strip() for line in content.splitlines() if line.strip()]
    if not found:
        raise SecretError(f"the secret {path} is empty")
    if len(found) > MAX_SECRETS:
        raise SecretError(f"{path} must have at most {MAX_SECRETS} secrets; it has {len(found)}")
    return found


def _make(folder: Path) -> None:
    """Makes a directory and those around it, for their owner alone."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        _hand_over(folder, folder.parent)


def _hand_over(path: Path | str, folder: Path) -> None:
    """Gives what root has made to the owner of the folder: the daemon has to read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _replace(path: Path, content: bytes) -> None:
    # mkstemp makes it for its owner alone.
    descriptor, fresh = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _hand_over(fresh, path.parent)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    _sync(path.parent)
    _sync(path.parent.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
