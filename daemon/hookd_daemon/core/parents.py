"""What binds a run to the run that has started it."""

from __future__ import annotations

from hookd.v1.common_pb2 import RunStatus
from hookd.v1.events_pb2 import ChildEnded, Event

from hookd_daemon.core import keys
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import wake
from hookd_daemon.core.runs import RunState
from hookd_daemon.records.v1.records_pb2 import ChildRecord, RunRecord
from hookd_daemon.store.keys import end_of


async def tell_parent(
    run: RunState, moment: Moment, status: RunStatus.ValueType, last: Event
) -> None:
    """Tells the run that has started this one how it ended, if it waits.

    Args:
        run: the run that has ended.
        moment: when.
        status: how.
        last: the last event of its log.
    """
    record = run.record
    if not record.parent_uid:
        return
    parent = await _run_with_uid(run, record.parent_run_id, record.parent_uid)
    if parent is None or not parent.active:
        return
    ended = ChildEnded(status=status)
    match last.WhichOneof("data"):
        case "run_completed":
            ended.output.CopyFrom(last.run_completed.output)
        case "run_failed":
            ended.failure.CopyFrom(last.run_failed.failure)
        case "run_cancelled":
            ended.cancel_reason = last.run_cancelled.reason
    parent.append(Event(correlation_id=run.run_id, child_ended=ended), moment)
    key = keys.child(parent.uid, run.run_id)
    value = await run.tx.get(key)
    if value is not None:
        child = ChildRecord.FromString(value)
        child.ended = True
        run.tx.put(key, child.SerializeToString())
        parent.record.open_children -= 1
    wake(parent, moment)
    parent.save()


async def children_to_cancel(run: RunState) -> list[RunState]:
    """The active runs that are to end with the run that has started them."""
    if not run.record.open_children:
        return []
    found = []
    prefix = keys.children(run.uid)
    start = prefix
    while pairs := await run.tx.scan(start, end_of(prefix), 256):
        for key, value in pairs:
            child = ChildRecord.FromString(value)
            if not child.ended and child.cancel_with_parent:
                state = await _run_of_parent(run, key[len(prefix) :].decode())
                if state is not None and state.active:
                    found.append(state)
        start = pairs[-1][0] + b"\0"
    return found


async def _run_of_parent(parent: RunState, run_id: str) -> RunState | None:
    value = await parent.tx.get(keys.run(parent.project, run_id))
    if value is None:
        return None
    run = RunState(parent.tx, parent.project, run_id, RunRecord.FromString(value))
    return run if run.record.parent_uid == parent.uid else None


async def _run_with_uid(run: RunState, run_id: str, uid: int) -> RunState | None:
    value = await run.tx.get(keys.run(run.project, run_id))
    if value is None:
        return None
    found = RunState(run.tx, run.project, run_id, RunRecord.FromString(value))
    return found if found.uid == uid else None
