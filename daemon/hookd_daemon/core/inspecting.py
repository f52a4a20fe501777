"""What people want to see of a run and its project, and programs do not ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hookd.v1.common_pb2 import RunStatus
from hookd.v1.events_pb2 import Event

from hookd_daemon.core import keys, usage
from hookd_daemon.core.lookup import load_hook
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState, load_run
from hookd_daemon.records.v1.records_pb2 import (
    ChildRecord,
    PayloadRecord,
    RunRecord,
    StepRecord,
)
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: How far back in a run's log the ends of its steps are looked for.
LOOK_BACK = 1_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a project has.

    Attributes:
        active_runs: runs that have not ended.
        tokens: tokens that are taken.
        payload_bytes: bytes of payloads that are kept.
    """

    active_runs: int
    tokens: int
    payload_bytes: int


async def numbers_of(tx: Tx, moment: Moment, project: str) -> Numbers:
    """Reads what a project has; nothing is counted for it."""
    return Numbers(
        await tx.number(keys.usage(project, usage.ACTIVE_RUNS)),
        await tx.count_claims(project),
        await tx.number(keys.usage(project, usage.PAYLOAD_BYTES)),
    )


async def statuses_of(
    tx: Tx, moment: Moment, project: str, run_ids: Iterable[str]
) -> dict[str, RunStatus.ValueType]:
    """How runs stand, by their ids, as it is written; what is not there is left out."""
    found = {}
    for run_id in set(run_ids):
        value = await tx.get(keys.run(project, run_id))
        if value is not None:
            found[run_id] = RunRecord.FromString(value).status
    return found


@dataclass(slots=True)
class StepView:
    """A step as it stands.

    Attributes:
        step_id: its id.
        record: its record.
        tries: the events that tell how its attempts ended, those that were
            found; the last one is its end if it has ended.
    """

    step_id: str
    record: StepRecord
    tries: list[Event]


async def list_steps(
    tx: Tx, moment: Moment, project: str, run_id: str, limit: int
) -> list[StepView]:
    """Reads the steps of a run in the order in which they were scheduled.

    Of the run's log the last ``LOOK_BACK`` events are read.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    prefix = keys.steps(run.uid)
    pairs = await tx.scan(prefix, end_of(prefix), limit)
    views = {
        key: StepView(key, StepRecord.FromString(value), [])
        for key, value in ((key[len(prefix) :].decode(), value) for key, value in pairs)
    }
    if views:
        for event in await _last_events(run):
            kind = event.WhichOneof("data")
            if kind in ("step_retrying", "step_completed", "step_failed"):
                view = views.get(event.correlation_id)
                if view is not None:
                    view.tries.append(event)
    return sorted(views.values(), key=lambda view: view.record.scheduled_seq)


async def _last_events(run: RunState) -> list[Event]:
    prefix = keys.events(run.uid)
    start = prefix + keys.number(max(run.record.last_seq - LOOK_BACK, 0))
    return [
        Event.FromString(value)
        for _, value in await run.tx.scan(start, end_of(prefix), LOOK_BACK + 1)
    ]


async def list_children(
    tx: Tx, moment: Moment, project: str, run_id: str, limit: int
) -> list[tuple[str, ChildRecord]]:
    """Reads the runs that a run has started, by their ids.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    prefix = keys.children(run.uid)
    return [
        (key[len(prefix) :].decode(), ChildRecord.FromString(value))
        for key, value in await tx.scan(prefix, end_of(prefix), limit)
    ]


async def count_unseen(
    tx: Tx, moment: Moment, project: str, run_id: str, hook_id: str
) -> int | None:
    """How many payloads of a hook the run's code has not seen yet.

    Returns:
        None when the run is driven from outside: then nobody knows.

    Raises:
        RunNotFoundError: there is no such run.
        HookNotFoundError: the run has no such hook.
        OverdueError: its time has passed, and it has not been ended yet.
    """
    view = await load_hook(tx, moment, project, run_id, hook_id)
    record = view.run.record
    if record.external:
        return None
    # Payloads stand in the log in their order: halve the part that is left.
    prefix = keys.payloads(view.run.uid, hook_id)
    low, high = 0, view.record.payload_count
    while low < high:
        middle = (low + high) // 2
        value = await tx.get(prefix + keys.number(middle + 1))
        if value is not None and PayloadRecord.FromString(value).event_seq > record.seen_seq:
            high = middle
        else:
            low = middle + 1
    return view.record.payload_count - low


async def topics_of(tx: Tx, moment: Moment, project: str, run_id: str) -> tuple[int, list[str]]:
    """What names the topics of a run: its uid and the namespaces of its streams.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    prefix = keys.streams(run.uid)
    pairs = await tx.scan(prefix, end_of(prefix), 20)
    return run.uid, [key[len(prefix) :].decode() for key, _ in pairs]
