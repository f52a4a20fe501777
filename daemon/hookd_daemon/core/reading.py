"""Reading runs: one, many, and their logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hookd.v1.common_pb2 import Payload, RunStatus
from hookd.v1.events_pb2 import Event

from hookd_daemon.core import keys
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState, load_run, read_event
from hookd_daemon.records.v1.records_pb2 import RunRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: How many runs one call looks at: a filter that fits few of them gives short
#: pages instead of long calls.
LOOK_AT_MOST = 2_048
LOOK_AT_ONCE = 64
#: An answer is cut after so many bytes of events, but has one at least.
EVENT_BYTES = 2 * 1024 * 1024
#: A page of runs is cut after so many bytes.
LIST_BYTES = 2 * 1024 * 1024


@dataclass(slots=True)
class RunView:
    """A run as it stands.

    Attributes:
        run: the run.
        input: what it works on; None if not read.
        last: the event that ended it; None while it is active.
    """

    run: RunState
    input: Payload | None
    last: Event | None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list.

    Attributes:
        statuses: only runs that stand so; all if empty.
        workflow: only runs of this workflow; all if empty.
        since_ms: only runs created then or later.
        before_ms: only runs created sooner; None for no bound.
    """

    statuses: Sequence[RunStatus.ValueType]
    workflow: str
    since_ms: int
    before_ms: int | None


async def view_run(run: RunState, *, payloads: bool = True) -> RunView:
    """Adds to a run what stands in its log; without ``payloads`` not its input."""
    given = None
    if payloads:
        given = (await read_event(run.tx, run, 1)).run_created.input
    last = None if run.active else await read_event(run.tx, run, run.record.last_seq)
    return RunView(run, given, last)


async def get_run(tx: Tx, moment: Moment, project: str, run_id: str) -> RunView:
    """Reads a run.

    Raises:
        RunNotFoundError: there is none.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    return await view_run(await load_run(tx, moment, project, run_id))


async def list_runs(
    tx: Tx, moment: Moment, project: str, wanted: RunFilter, after: bytes, limit: int
) -> tuple[list[RunView], bytes]:
    """Reads runs, newest first.

    Args:
        tx: the transaction.
        moment: when.
        project: whose runs.
        wanted: which runs.
        after: where the page before ended; empty for the first page.
        limit: how many at most.

    Returns:
        The runs, without input, and where this page ended: empty when it was
        the last. A page may be short and not the last.
    """
    one_status = wanted.statuses[0] if len(wanted.statuses) == 1 else None
    if one_status is None:
        prefix = keys.runs_by_time(project)
    else:
        prefix = keys.runs_by_status(project, one_status)
    start = prefix
    if wanted.before_ms is not None:
        start += keys.newest_first(max(wanted.before_ms - 1, 0))
    if after:
        start = max(start, prefix + after + b"\0")
    end = prefix + keys.newest_first(max(wanted.since_ms, 0)) + b"\xff" * 9
    end = min(end, end_of(prefix))
    views: list[RunView] = []
    looked = size = 0
    while looked < LOOK_AT_MOST:
        pairs = await tx.scan(start, end, LOOK_AT_ONCE)
        for key, run_id in pairs:
            view = await _listed(tx, moment, project, run_id.decode(), wanted)
            if view is not None:
                views.append(view)
                size += listed_bytes(view)
                if len(views) == limit or size > LIST_BYTES:
                    return views, key[len(prefix) :]
        if len(pairs) < LOOK_AT_ONCE:
            return views, b""
        looked += len(pairs)
        start = pairs[-1][0] + b"\0"
    return views, start[len(prefix) : -1]


def listed_bytes(view: RunView) -> int:
    """About how large a run is in a list."""
    last = view.last
    message = last.run_failed.failure.message if last is not None else ""
    return view.run.record.ByteSize() + len(message.encode())


async def _listed(
    tx: Tx, moment: Moment, project: str, run_id: str, wanted: RunFilter
) -> RunView | None:
    value = await tx.get(keys.run(project, run_id))
    if value is None:
        raise RuntimeError(f"the lists have a run {run_id} that is not there")
    record = RunRecord.FromString(value)
    if wanted.statuses and record.status not in wanted.statuses:
        return None
    if wanted.workflow and record.workflow != wanted.workflow:
        return None
    run = RunState(tx, project, run_id, record)
    record.lease_until_ms = run.lease_deadline(moment) or 0
    return await view_run(run, payloads=False)


async def list_events(
    tx: Tx, moment: Moment, project: str, run_id: str, after: int, limit: int
) -> tuple[RunState, list[Event]]:
    """Reads a part of a run's log.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    prefix = keys.events(run.uid)
    events: list[Event] = []
    size = 0
    for seq in range(after + 1, min(after + limit, run.record.last_seq) + 1):
        # One by one, and not a scan: where to stop depends on their sizes.
        value = await tx.get(prefix + keys.number(seq))
        if value is None:
            raise RuntimeError(f"the log of run {run_id} has no event {seq}")
        size += len(value)
        if events and size > EVENT_BYTES:
            break
        events.append(Event.FromString(value))
    return run, events


async def keep_alive(tx: Tx, moment: Moment, project: str, run_id: str) -> RunState:
    """Renews the lease of an active run; a run without one stays as it is.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    run.require_active()
    if run.record.lease_ttl_ms:
        run.record.lease_until_ms = moment.now_ms + run.record.lease_ttl_ms
        tx.put(keys.run(project, run_id), run.record.SerializeToString())
    return run


async def count_runs(tx: Tx, prefix: bytes, after: bytes, limit: int) -> tuple[int, bytes]:
    """Counts runs in one of the lists, a part at a time.

    Args:
        tx: the transaction.
        prefix: what the list's keys begin with.
        after: where the part before ended; empty for the first.
        limit: how many at most.

    Returns:
        How many were counted, and where the part ended: empty at the end.
    """
    pairs = await tx.scan(after + b"\0" if after else prefix, end_of(prefix), limit)
    return len(pairs), pairs[-1][0] if len(pairs) == limit else b""
