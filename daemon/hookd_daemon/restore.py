"""``hookd restore``: a data directory from a backup, checked before anything is written."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rocksdict import Rdict, WriteOptions

from hookd_daemon._native import TokenIndex
from hookd_daemon.config import StartupError
from hookd_daemon.store import keys
from hookd_daemon.store.rocks.appearing import appearing
from hookd_daemon.store.rocks.directory import FORMAT, DataDirectoryError, sync_directory
from hookd_daemon.store.rocks.manifest import (
    CHUNK_BYTES,
    DamagedBackupError,
    FileFacts,
    Manifest,
)
from hookd_daemon.store.rocks.options import database_options
from hookd_daemon.store.rocks.recovery import recover_claims, recover_revisions

#: By how much the next revision is ahead of the last one that the backup knows.
#: The original may have given out more since; none of those is given again.
#: So small that it can be done a million times before a number needs more than
#: the 53 bits that JavaScript has for it.
REVISIONS_AHEAD = 1 << 32


class RestoreError(StartupError):
    """The backup cannot be restored; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restore.

    Attributes:
        manifest: what the backup was.
        tokens: how many tokens are taken in it.
    """

    manifest: Manifest
    tokens: int


def restore(backup: Path, data_dir: Path) -> Restored:
    """Makes a data directory from a backup. The backup stays as it is.

    Args:
        backup: as ``AdminService.Backup`` made it, or a copy of that.
        data_dir: the new data directory; must not be there, or be empty.

    Raises:
        RestoreError: the backup is damaged or of a newer hookd, the data
            directory is in use, or the disk is full. Nothing is left behind.
    """
    backup, data_dir = backup.resolve(), data_dir.resolve()
    try:
        _check_target(backup, data_dir)
        manifest = _checked(backup)
        _check_room(manifest, data_dir)
        with appearing(data_dir) as fresh:
            _copy(manifest, backup, fresh)
            tokens = _open(fresh / "db")
            sync_directory(fresh / "db")
    except (DamagedBackupError, DataDirectoryError) as error:
        raise RestoreError(str(error)) from error
    except FileExistsError:
        raise RestoreError(f"{data_dir} is being made by another process") from None
    except OSError as error:
        raise RestoreError(
            f"{backup} cannot be restored to {data_dir}: {error.strerror}"
        ) from error
    return Restored(manifest, tokens)


def _check_target(backup: Path, data_dir: Path) -> None:
    if data_dir.is_relative_to(backup):
        raise RestoreError(f"{data_dir} is in the backup itself; name another directory")
    if data_dir.exists() and not data_dir.is_dir():
        raise RestoreError(f"{data_dir} is not a directory")
    if data_dir.is_mount():
        raise RestoreError(f"{data_dir} is a mount point; name a directory below it")
    if data_dir.exists() and any(data_dir.iterdir()):
        raise RestoreError(
            f"{data_dir} is not empty; name a directory that is not there, or an empty one"
        )


def _checked(backup: Path) -> Manifest:
    manifest = Manifest.read(backup)
    if manifest.format > FORMAT:
        raise RestoreError(
            f"the backup {backup} has format {manifest.format}, and this hookd knows only formats "
            f"up to {FORMAT}: hookd {manifest.hookd} made it; use that one"
        )
    manifest.check(backup)
    return manifest


def _check_room(manifest: Manifest, data_dir: Path) -> None:
    there = next(path for path in data_dir.parents if path.exists())
    free = shutil.disk_usage(there).free
    if free < manifest.size:
        raise RestoreError(
            f"there is no room for {data_dir}: it needs {manifest.size} bytes, and {free} are free"
        )


def _copy(manifest: Manifest, backup: Path, fresh: Path) -> None:
    (fresh / "db").mkdir(mode=0o700)
    for name, facts in manifest.files.items():
        _copy_file(backup / name, fresh / name)
        # Read back: what was checked before may have been read from elsewhere.
        copied: FileFacts = Manifest.facts(fresh / name)
        if copied != facts:
            raise DamagedBackupError(f"{name} has changed while it was copied")


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("xb") as copy:
        shutil.copyfileobj(content, copy, CHUNK_BYTES)
        copy.flush()
        # Who may read the keys may go on doing so, and nobody else.
        os.fchmod(copy.fileno(), source.stat().st_mode & 0o700)
        os.fsync(copy.fileno())


def _open(database: Path) -> int:
    """Opens the copy as a daemon would, and sets its revisions ahead; gives the tokens taken.

    Raises:
        DataDirectoryError: a daemon could not start on it.
    """
    options = database_options()
    options.create_if_missing(False)
    try:
        db = Rdict(str(database), options)
    except Exception as error:
        raise DataDirectoryError(f"RocksDB cannot open what was copied: {error}") from error
    try:
        tokens = recover_claims(db, TokenIndex())
        synced = WriteOptions()
        synced.sync = True
        ahead = recover_revisions(db) + REVISIONS_AHEAD
        db.put(keys.REVISIONS, ahead.to_bytes(8, "big"), synced)
    finally:
        db.close()
    return tokens
