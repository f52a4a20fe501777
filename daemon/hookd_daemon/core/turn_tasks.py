"""Handing the turns of runs to workers."""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.events_pb2 import Event

from hookd_daemon.core import keys
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import Entry, drop_entry
from hookd_daemon.core.reading import EVENT_BYTES
from hookd_daemon.core.runs import RunState, find_run
from hookd_daemon.store.tx import Tx

#: A task or an answer has at most so many events.
EVENTS_AT_ONCE = 1_000


@dataclass(slots=True)
class LeasedTurn:
    """A run whose code is to go on.

    Attributes:
        run: the run.
        after_seq: the events begin after this position.
        events: the events from there on, cut where they become too many.
    """

    run: RunState
    after_seq: int
    events: list[Event]


async def read_log(run: RunState, after_seq: int) -> list[Event]:
    """Reads a run's log after a position, cut where it becomes too much for one message."""
    prefix = keys.events(run.uid)
    events: list[Event] = []
    size = 0
    for seq in range(after_seq + 1, min(run.record.last_seq, after_seq + EVENTS_AT_ONCE) + 1):
        value = await run.tx.get(prefix + keys.number(seq))
        if value is None:
            raise RuntimeError(f"the log of run {run.run_id} has no event {seq}")
        size += len(value)
        if events and size > EVENT_BYTES:
            break
        events.append(Event.FromString(value))
    return events


async def read_turn(run: RunState, after_seq: int) -> LeasedTurn:
    """Reads what a worker needs that has seen the log up to a position."""
    return LeasedTurn(run, after_seq, await read_log(run, after_seq))


async def lease_turn(
    tx: Tx, moment: Moment, project: str, entry: Entry, after_seq: int
) -> LeasedTurn | None:
    """Hands the turn of a run to a worker that has seen the log up to ``after_seq``.

    Returns:
        None when the code has nothing to do any more: the entry is gone.
    """
    run = await find_run(tx, moment, project, entry.run_id)
    if (
        run is None
        or run.uid != entry.run_uid
        or not run.active
        or run.record.queued != entry.number
    ):
        drop_entry(tx, entry)
        return None
    if run.begin(moment):
        run.save()
    return await read_turn(run, after_seq)
