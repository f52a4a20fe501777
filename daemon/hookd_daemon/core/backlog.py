"""How much waits for workers in a queue."""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.worker_service_pb2 import QueueKind

from hookd_daemon.core import keys
from hookd_daemon.records.v1.records_pb2 import QueueRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is in a queue, leased or not.

    Attributes:
        length: how much, as far as it was counted.
        oldest_ms: since when the first of it is there, in milliseconds since
            1970; 0 when it is empty.
    """

    length: int
    oldest_ms: int


async def measure_queue(
    tx: Tx, project: str, kind: QueueKind.ValueType, name: str, limit: int
) -> Backlog:
    """Counts what is in a queue, up to ``limit``."""
    prefix = keys.queue(project, kind, name)
    pairs = await tx.scan(prefix, end_of(prefix), limit)
    if not pairs:
        return Backlog(0, 0)
    return Backlog(len(pairs), QueueRecord.FromString(pairs[0][1]).since_ms)
