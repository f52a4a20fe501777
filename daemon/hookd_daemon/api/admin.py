"""``hookd.v1.AdminService``."""

from __future__ import annotations

import asyncio
import re
import time

from hookd.v1 import admin_service_pb2 as pb
from hookd.v1.common_pb2 import RUN_STATUS_PENDING, RUN_STATUS_RUNNING, RunStatus

from hookd_daemon import __version__
from hookd_daemon.api import messages, validate
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.counting import Counting
from hookd_daemon.core import keys
from hookd_daemon.core.hooks import duration
from hookd_daemon.core.reading import count_runs
from hookd_daemon.errors import InvalidArgumentError, StoreUnavailableError
from hookd_daemon.logs import get_logger
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks.appearing import UNFINISHED
from hookd_daemon.store.tx import Store

log = get_logger(__name__)

_BACKUP_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
#: How many runs are counted without giving other calls a turn.
COUNT_AT_ONCE = 2_000


class AdminService:
    """Answers the calls of ``hookd.v1.AdminService``.

    Args:
        backend: what all handlers share.
        store: the engine; backups and compaction are its own.
        counting: knows how many runs are active.
    """

    def __init__(self, backend: Backend, store: RocksStore, counting: Counting) -> None:
        self._backend = backend
        self._counting = counting
        self._store = store

    async def get_stats(
        self, request: pb.GetStatsRequest, call: CallContext
    ) -> pb.GetStatsResponse:
        """Tells how the daemon stands."""
        backend, store, metrics = self._backend, self._store, self._backend.metrics
        pending, running = self._counting.active_runs()
        tokens = len(store.index)
        if request.project:
            project = validate.project(request.project)
            tokens = store.index.count(project)
            pending = await self._count(project, RUN_STATUS_PENDING)
            running = await self._count(project, RUN_STATUS_RUNNING)
        response = pb.GetStatsResponse(
            version=__version__,
            recovery_time=duration(round(store.recovery_seconds * 1000)),
            recovered_tokens=store.recovered_tokens,
            pending_runs=pending,
            running_runs=running,
            active_tokens=tokens,
            token_index_bytes=store.index.memory_bytes(),
            store_bytes=await asyncio.to_thread(store.disk_bytes),
            revision=store.last_revision,
            calls_in_flight=metrics.calls_in_flight,
            claims_total=metrics.claims,
            conflicts_total=metrics.conflicts,
            releases_total=sum(metrics.releases.values()),
            resumes_total=metrics.resumes,
        )
        messages.set_time(response.started_at, backend.booted_ms)
        return response

    async def _count(self, project: str, status: RunStatus.ValueType) -> int:
        return await count_all_runs(self._store, keys.runs_by_status(project, status))

    async def backup(self, request: pb.BackupRequest, call: CallContext) -> pb.BackupResponse:
        """Writes a copy of the data directory."""
        name = request.name or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        if not _BACKUP_NAME.fullmatch(name):
            raise InvalidArgumentError(
                "name",
                "must be 1 to 64 letters, digits, '.', '_' or '-', and not begin with a dot; "
                f"it is {len(name)} characters long",
            )
        if name.endswith(UNFINISHED):
            raise InvalidArgumentError("name", f"must not end with {UNFINISHED}")
        target = self._backend.settings.backup_dir.absolute() / name
        begin = time.monotonic()
        try:
            size = await self._store.backup(target)
        except FileExistsError:
            raise InvalidArgumentError("name", f"there is a backup {name} already") from None
        except StoreUnavailableError as error:
            log.warning("a backup failed", path=str(target), error=str(error))
            raise
        seconds = round(time.monotonic() - begin, 3)
        log.info("backup made", path=str(target), bytes=size, seconds=seconds)
        return pb.BackupResponse(path=str(target), bytes=size)

    async def compact(self, request: pb.CompactRequest, call: CallContext) -> pb.CompactResponse:
        """Compacts the store."""
        before = await asyncio.to_thread(self._store.disk_bytes)
        await self._store.compact()
        after = await asyncio.to_thread(self._store.disk_bytes)
        return pb.CompactResponse(bytes_before=before, bytes_after=after)


async def count_all_runs(store: Store, prefix: bytes) -> int:
    """Counts the runs of a list whose keys begin so, bit by bit."""
    total, position = 0, b""
    while True:
        counted, position = await store.transact(count_runs, prefix, position, COUNT_AT_ONCE)
        total += counted
        if not position:
            return total
