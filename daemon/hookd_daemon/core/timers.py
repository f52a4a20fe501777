"""Timers: what is to be done later, in the order of its time."""

from __future__ import annotations

from hookd_daemon.core import keys, topics
from hookd_daemon.records.v1.records_pb2 import TimerRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx


def set_timer(tx: Tx, due_ms: int, timer: TimerRecord) -> int:
    """Has something done at ``due_ms``, in milliseconds since 1970, or soon after.

    Returns:
        The number in the timer's key.
    """
    number = tx.revision()
    tx.put(keys.timer(due_ms, number), timer.SerializeToString())
    tx.notify(topics.TIMERS)
    return number


async def next_timers(
    tx: Tx, after: bytes, until_ms: int, limit: int
) -> tuple[list[tuple[bytes, TimerRecord]], int | None]:
    """Reads the timers that are due.

    Args:
        tx: the transaction.
        after: the key behind which the search begins, and so behind the
            remains of the timers that are done; empty for the very beginning.
        until_ms: the time now.
        limit: how many at most.

    Returns:
        The timers with their keys, and the time of the first that is not due
        yet, None when there is none or ``limit`` was reached.
    """
    start = after + b"\0" if after else keys.TIMER
    pairs = await tx.scan(start, end_of(keys.TIMER), limit)
    due = [
        (key, TimerRecord.FromString(value)) for key, value in pairs if keys.due_of(key) <= until_ms
    ]
    if len(due) < len(pairs):
        return due, keys.due_of(pairs[len(due)][0])
    return due, None
