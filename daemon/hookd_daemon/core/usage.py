"""What is counted of a project: its active runs, and the bytes of payloads that are kept for it.

The numbers are written in the commits that change them, so they are as right
after a crash as before. Taken tokens are counted by the store itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from hookd.v1.common_pb2 import RUN_STATUS_PENDING, RUN_STATUS_RUNNING, RunStatus
from hookd.v1.events_pb2 import Event

from hookd_daemon.core import keys
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Store, Tx

ACTIVE_RUNS = b"runs"
PAYLOAD_BYTES = b"payload bytes"

#: How many keys are read at a time.
KEYS_AT_ONCE = 2_000


def payload_bytes(event: Event) -> int:
    """How many bytes of payloads an event brings into the log; 0 for most."""
    match event.WhichOneof("data"):
        case "hook_received":
            return len(event.hook_received.payload.data)
        case "run_created":
            return len(event.run_created.input.data)
        case "step_scheduled":
            return len(event.step_scheduled.input.data)
        case "step_completed":
            return len(event.step_completed.output.data)
        case "run_completed":
            return len(event.run_completed.output.data)
        case "webhook_responded":
            return len(event.webhook_responded.response.body)
        case "child_ended":
            return len(event.child_ended.output.data)
    return 0


async def count_active_runs(store: Store) -> Counter[tuple[str, RunStatus.ValueType]]:
    """Counts the active runs by their project and status, and puts right what is written of them.

    To be called before anything else changes the store. It is wrong in a store
    that was made, or changed, by a hookd that did not count.
    """
    found: Counter[tuple[str, RunStatus.ValueType]] = Counter()
    for status in (RUN_STATUS_PENDING, RUN_STATUS_RUNNING):
        async for key in _keys_of(store, keys.runs_with_status(status)):
            found[keys.split_status_key(key), status] += 1
    right: Counter[str] = Counter()
    for (project, _), count in found.items():
        right[project] += count
    async for key in _keys_of(store, keys.USAGE):
        project, what = keys.split_usage_key(key)
        if what == ACTIVE_RUNS:
            right.setdefault(project, 0)
    projects = list(right)
    for start in range(0, len(projects), KEYS_AT_ONCE):
        part = {project: right[project] for project in projects[start : start + KEYS_AT_ONCE]}
        await store.transact(_put_right, part)
    return found


async def _keys_of(store: Store, prefix: bytes) -> AsyncIterator[bytes]:
    """All keys that begin so, read bit by bit."""
    position = prefix
    while True:
        pairs = await store.transact(_scan, position, end_of(prefix))
        for key, _ in pairs:
            yield key
        if len(pairs) < KEYS_AT_ONCE:
            return
        position = pairs[-1][0] + b"\0"


async def _scan(tx: Tx, start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    return await tx.scan(start, end, KEYS_AT_ONCE)


async def _put_right(tx: Tx, counts: dict[str, int]) -> None:
    for project, count in counts.items():
        key = keys.usage(project, ACTIVE_RUNS)
        written = await tx.number(key)
        if written != count:
            tx.add(key, count - written)
