"""Backups: consistent copies of the store, made while calls go on."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from rocksdict import Checkpoint, Rdict

from hookd_daemon import __version__
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.rocks.appearing import appearing, remove_all_abandoned
from hookd_daemon.store.rocks.directory import FORMAT, write_durably
from hookd_daemon.store.rocks.manifest import VERSION, Manifest, paths, sync_files

#: What else of a data directory belongs into a backup, if it is there: without
#: the keys, whoever restores it would serve everybody.
BESIDES = ("keys.json",)


class Backups:
    """Makes backups of a data directory, one at a time, in a thread of its own.

    Args:
        db: its database.
        data_dir: the directory.
    """

    def __init__(self, db: Rdict, data_dir: Path) -> None:
        self._db = db
        self._data_dir = data_dir
        self._closing = threading.Event()
        # A backup goes on when its caller is gone; the next one waits for it.
        self._worker = ThreadPoolExecutor(1, "hookd-backup")

    async def make(self, target: Path) -> int:
        """Writes a backup; returns its bytes.

        Files are shared by hard links where the file system allows.

        Args:
            target: where; what has this name is whole, or not there.

        Raises:
            FileExistsError: ``target`` is there already.
            StoreUnavailableError: it cannot be written. The store itself goes on.
        """
        return await asyncio.wrap_future(self._worker.submit(self._make, target))

    def _make(self, target: Path) -> int:
        if os.path.lexists(target):
            raise FileExistsError(target)
        try:
            remove_all_abandoned(target.parent)
            with appearing(target) as fresh:
                manifest = copy_store(self._db, self._data_dir, fresh, self._go_on)
        except (FileExistsError, StoreUnavailableError):
            raise
        except Exception as error:
            # RocksDB has no type of its own for what the disk says.
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreUnavailableError(
                f"the backup {target.name} cannot be written: {why}"
            ) from error
        return manifest.size

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise StoreUnavailableError("the daemon is going down")

    def close(self) -> None:
        """Gives up the backup that is being made, if any, and waits until it is removed."""
        self._closing.set()
        self._worker.shutdown(cancel_futures=True)


def copy_store(db: Rdict, data_dir: Path, root: Path, proceed: Callable[[], None]) -> Manifest:
    """Fills an empty directory with a backup, the manifest last.

    It holds all that was written before the call, and of what is written
    meanwhile all up to some commit.

    Args:
        db: the database.
        data_dir: the data directory, which has more than the database.
        root: the directory to fill.
        proceed: called now and then; may raise to give up.

    Raises:
        OSError: a file cannot be written.
        Exception: RocksDB cannot write.
    """
    # The checkpoint flushes, too, but would hold the interpreter for as long.
    db.flush(True)
    Checkpoint(db).create_checkpoint(str(root / "db"))
    write_durably(root / "format", f"{FORMAT}\n")
    for name in BESIDES:
        if (data_dir / name).exists():
            shutil.copy(data_dir / name, root / name)
    sync_files(root)
    manifest = Manifest(
        backup=VERSION,
        format=FORMAT,
        hookd=__version__,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files={name: Manifest.facts(root / name, proceed) for name in paths(root)},
    )
    manifest.write(root)
    return manifest
