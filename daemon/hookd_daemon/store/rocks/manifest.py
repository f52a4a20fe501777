"""The manifest of a backup: which files it has, and what is in them.

BACKUP/manifest.json    what the backup is, and the size and SHA-256 of each file
BACKUP/manifest.sha256  the SHA-256 of that, in the form that ``sha256sum -c`` reads

They are written last. So a directory that has both is a backup that was
finished, and a bit that changes later, in whichever file, is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hookd_daemon.store.rocks.directory import sync_directory, write_durably

#: The version of the manifest, and of how a backup is laid out.
VERSION = 1
MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"
#: How much of a file is read at once.
CHUNK_BYTES = 1024 * 1024


class DamagedBackupError(Exception):
    """This is no backup, or not what it was when it was made; the message says why."""


class FileFacts(BaseModel):
    """What a file of a backup has to be.

    Attributes:
        size: its length in bytes.
        sha256: the digest of its content, in hexadecimal digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What a backup is.

    Attributes:
        backup: the version of the manifest.
        format: the version of the keys and records in the store.
        hookd: the version of the daemon that made it.
        made_at: when, in UTC, as of RFC 3339.
        files: each file but the manifest's own, by its path below the backup.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backup: int
    format: int
    hookd: str
    made_at: str
    files: dict[str, FileFacts]

    @property
    def size(self) -> int:
        """The bytes of all the files."""
        return sum(facts.size for facts in self.files.values())

    def write(self, root: Path) -> None:
        """Writes the manifest, which makes a directory a backup.

        Raises:
            OSError: it cannot be written.
        """
        content = self.model_dump_json(indent=1) + "\n"
        write_durably(root / MANIFEST, content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        write_durably(root / DIGEST, f"{digest}  {MANIFEST}\n")

    @classmethod
    def read(cls, root: Path) -> Manifest:
        """Reads a manifest, and holds it against its own digest.

        Raises:
            DamagedBackupError: it is not there, not whole, or of a newer version.
        """
        try:
            content, digest = (root / MANIFEST).read_bytes(), (root / DIGEST).read_bytes()
        except OSError as error:
            raise DamagedBackupError(
                f"{root} is no backup, or one that was never finished: "
                f"{error.strerror}: {Path(error.filename).name}"
            ) from None
        if digest != f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode():
            raise DamagedBackupError(f"the backup {root} is damaged: its manifest has changed")
        try:
            # Looked at first: a newer version may have fields that are not known here.
            version = json.loads(content)["backup"]
            if isinstance(version, int) and version > VERSION:
                raise DamagedBackupError(
                    f"the backup {root} has version {version}, and this hookd knows only versions "
                    f"up to {VERSION}: a newer hookd made it; use that one"
                )
            return cls.model_validate_json(content)
        except (ValueError, KeyError, TypeError, ValidationError):
            raise DamagedBackupError(f"the manifest of {root} cannot be understood") from None

    def check(self, root: Path) -> None:
        """Reads every file of a backup, and holds it against the manifest.

        Raises:
            DamagedBackupError: a file has changed, is missing, or was added.
            OSError: a file cannot be read.
        """
        found = set(paths(root)) - {MANIFEST, DIGEST}
        for path in sorted(self.files.keys() - found):
            raise DamagedBackupError(f"the backup {root} is damaged: {path} is missing")
        for path in sorted(found - self.files.keys()):
            raise DamagedBackupError(
                f"the backup {root} is damaged: {path} was not there when it was made; "
                "has a daemon been started on it?"
            )
        for path, facts in self.files.items():
            if self.facts(root / path) != facts:
                raise DamagedBackupError(f"the backup {root} is damaged: {path} has changed")

    @staticmethod
    def facts(file: Path, proceed: Callable[[], None] = lambda: None) -> FileFacts:
        """Reads a file from end to end and tells what is in it.

        Args:
            file: the file.
            proceed: called now and then; may raise to give up.

        Raises:
            OSError: it cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                proceed()
                digest.update(chunk)
                size += len(chunk)
        return FileFacts(size=size, sha256=digest.hexdigest())


def paths(root: Path) -> Iterator[str]:
    """The files below a directory, by their paths from there.

    Raises:
        DamagedBackupError: something is neither a file nor the directory of the database.
    """
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not path.is_symlink():
            yield name
        elif name != "db" or path.is_symlink():
            raise DamagedBackupError(f"{root} is damaged: {name} does not belong into a backup")


def sync_files(root: Path) -> None:
    """Makes the files below a directory durable, and their names.

    Raises:
        OSError: the disk says that it cannot.
    """
    for name in paths(root):
        handle = os.open(root / name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_directory(root / "db")
    sync_directory(root)
