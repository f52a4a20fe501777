"""RocksDB: write now, flush together, answer after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

from rocksdict import Rdict, ReadOptions, WriteBatch, WriteOptions

from hookd_daemon._native import TokenIndex
from hookd_daemon.errors import HookdError, StoreUnavailableError
from hookd_daemon.store import keys
from hookd_daemon.store.hub import Hub, HubSubscription
from hookd_daemon.store.rocks.backup import Backups
from hookd_daemon.store.rocks.directory import DataDirectory, DataDirectoryError
from hookd_daemon.store.rocks.flusher import Flusher
from hookd_daemon.store.rocks.options import database_options
from hookd_daemon.store.rocks.recovery import recover_claims, recover_revisions
from hookd_daemon.store.rocks.tx import RocksTx
from hookd_daemon.store.rocks.wal import DamagedLogError, check_logs
from hookd_daemon.store.transaction import run_at_once
from hookd_daemon.store.tx import Store, Tally, Topic, Tx

P = ParamSpec("P")
T = TypeVar("T")


class RocksStore(Store):
    """The embedded engine; open it inside a running event loop.

    A transaction function runs without ever giving up the event loop, and its
    writes go to RocksDB at once, unsynced: the next function sees them. The
    answer waits for a flush that began after the write, also the answer of a
    function that only read: what it read may not be durable yet.

    Args:
        path: the data directory.
        on_flush: told of each flush: commits that waited, seconds it took.
        on_failure: told once when the store can be written no longer. Nothing
            is answered from then on, and the process should end: memory is
            ahead of the disk, and only a restart tells the truth.
        observe: told what each commit did, for the counters.

    Attributes:
        db: the database.
        index: who owns which token.
        last_revision: the greatest revision that was given.
        reserved_revisions: up to which revision a restart knows.
        recovered_tokens: how many claims were read back.
        recovery_seconds: how long that took, with opening the database.
        unsynced: how commits are written.
        observe: told what each commit did.
        hub: wakes who waits for commits.
        flusher: makes commits durable.

    Raises:
        DataDirectoryError: the directory cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_flush: Callable[[int, float], None] = lambda _commits, _seconds: None,
        on_failure: Callable[[BaseException], None] = lambda _error: None,
        observe: Callable[[Tally], None] = lambda _tally: None,
    ) -> None:
        begin = time.monotonic()
        self.directory = DataDirectory(path)
        try:
            check_logs(self.directory.database)
            self.db = Rdict(str(self.directory.database), database_options())
        except Exception as error:
            self.directory.close()
            raise DataDirectoryError(why_not_opened(path, error)) from error
        self.unsynced = WriteOptions()
        self.unsynced.sync = False
        self.observe = observe
        self._on_failure = on_failure
        self.hub = Hub()
        self._closed = False
        self._failed = False
        self.index = TokenIndex()
        try:
            self.recovered_tokens = recover_claims(self.db, self.index)
        except BaseException:
            self.db.close()
            self.directory.close()
            raise
        self.last_revision = self.reserved_revisions = recover_revisions(self.db)
        self.recovery_seconds = time.monotonic() - begin
        self.flusher = Flusher(self._flush, on_flush, self.fail)
        self._backups = Backups(self.db, path)

    def pairs(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Reads the keys with ``start <= key < end`` in order."""
        options = ReadOptions()
        # Without this bound the search for the next key goes on behind the end,
        # over the remains of all that was deleted there.
        options.set_iterate_upper_bound(end)
        return cast(
            "Iterator[tuple[bytes, bytes]]", self.db.items(from_key=start, read_opt=options)
        )

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See ``Store.transact``."""
        self.raise_if_closed()
        tx = RocksTx(self)
        try:
            result = run_at_once(fn, tx, *args, **kwargs)
            if tx.writes:
                self._write(tx)
        except HookdError:
            tx.undo()
            await self._durable()
            raise
        except BaseException:
            tx.undo()
            raise
        if tx.tallies:
            self.observe(tx.tallies)
        self.hub.publish(tx.topics)
        if tx.writes:
            await self.flusher.durable()
        else:
            await self._durable()
        return result

    def raise_if_closed(self) -> None:
        """Raises StoreUnavailableError when the store is closed, or has failed."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")

    async def _durable(self) -> None:
        if not self.flusher.idle:
            await self.flusher.durable()

    def _write(self, tx: RocksTx) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in tx.writes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self.db.write(batch, self.unsynced)
        except Exception as error:
            self.fail(error)
            raise StoreUnavailableError("the store cannot be written") from error
        bound = tx.writes.get(keys.REVISIONS)
        if bound is not None:
            self.reserved_revisions = int.from_bytes(bound, "big")

    def _flush(self) -> None:
        self.db.flush_wal(True)

    def fail(self, error: BaseException) -> None:
        """Notes that the store can be written no longer."""
        if self._failed:
            return
        self._failed = True
        self._closed = True
        self.hub.close()
        self._on_failure(error)

    def subscribe(self, *topics: Topic) -> HubSubscription:
        """See ``Store.subscribe``."""
        return self.hub.subscribe(*topics)

    def end_waits(self) -> None:
        """Ends all waits, now and later, with StoreUnavailableError; transactions go on."""
        self.hub.close()

    def disk_bytes(self) -> int:
        """Bytes that the database uses on disk, its log included."""
        return directory_bytes(self.directory.database)

    async def backup(self, target: Path) -> int:
        """Writes a consistent copy; returns its bytes. See ``Backups.make``."""
        self.raise_if_closed()
        return await self._backups.make(target)

    async def compact(self) -> None:
        """Compacts the whole database, in a thread."""
        await asyncio.to_thread(self.db.compact_range, None, None)

    def close(self) -> None:
        """Makes everything durable and gives the directory free. Waits end, too."""
        self._closed = True
        self.hub.close()
        self.flusher.stop()
        self._backups.close()
        try:
            self.db.close()
        except Exception:
            # After a failure RocksDB says once more what was said already.
            if not self._failed:
                raise
        finally:
            self.directory.close()


def why_not_opened(path: Path, error: Exception) -> str:
    """What is said when the database of a data directory cannot be opened."""
    text = f"the database in {path} cannot be opened: {error}"
    if isinstance(error, DamagedLogError) or "Corruption" in str(error):
        text += "; acknowledged data would be missing: look after the disk, and restore a backup"
    return text


def directory_bytes(path: Path) -> int:
    """The sizes of all files below a directory."""
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # RocksDB removes files while we look
    return total
