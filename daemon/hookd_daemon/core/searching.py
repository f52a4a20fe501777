"""Finding runs by their ids: those that begin so, and those that have a text in them."""

from __future__ import annotations

from dataclasses import dataclass

from hookd_daemon.core import keys
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.reading import RunFilter, RunView, view_run
from hookd_daemon.core.runs import RunState
from hookd_daemon.records.v1.records_pb2 import RunRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: How many ids one look goes through: it takes a few milliseconds, and other
#: calls wait as long.
IDS_AT_ONCE = 2_000
#: How many records a look through ids that begin so reads at most.
RECORDS_AT_MOST = 500


@dataclass(slots=True)
class Found:
    """What a look has found.

    Attributes:
        views: the runs.
        looked: how many ids, or records, were looked at.
        position: where it ended; empty at the end of all runs.
        back_to_ms: when the last run that was looked at was created, in
            milliseconds since 1970; 0 when that is not known.
    """

    views: list[RunView]
    looked: int = 0
    position: bytes = b""
    back_to_ms: int = 0


async def runs_that_begin(
    tx: Tx, moment: Moment, project: str, prefix: str, wanted: RunFilter, limit: int
) -> Found:
    """Reads runs whose ids begin with a text, in the order of their ids.

    Looks at ``RECORDS_AT_MOST`` runs at most.
    """
    start = keys.run(project, prefix)
    found = Found([])
    for key, value in await tx.scan(start, end_of(start), RECORDS_AT_MOST):
        found.looked += 1
        run_id = key[len(keys.run(project, "")) :].decode()
        view = await _view(tx, moment, project, run_id, value, wanted)
        if view is not None:
            found.views.append(view)
            if len(found.views) == limit:
                break
    return found


async def runs_with_text(
    tx: Tx,
    moment: Moment,
    project: str,
    text: str,
    wanted: RunFilter,
    after: bytes,
    limit: int,
) -> Found:
    """Reads runs whose ids have a text in them, newest first.

    Looks at ``IDS_AT_ONCE`` ids at most: who wants more goes on at ``position``.

    Args:
        tx: the transaction.
        moment: when.
        project: whose runs.
        text: what their ids have in them.
        wanted: which of these runs.
        after: where the look before ended; empty for the first.
        limit: how many at most.
    """
    one_status = wanted.statuses[0] if len(wanted.statuses) == 1 else None
    if one_status is None:
        prefix = keys.runs_by_time(project)
    else:
        prefix = keys.runs_by_status(project, one_status)
    start = prefix + after + b"\0" if after else prefix
    end = min(prefix + keys.newest_first(max(wanted.since_ms, 0)) + b"\xff" * 9, end_of(prefix))
    sought, found = text.encode(), Found([])
    pairs = await tx.scan(start, end, IDS_AT_ONCE)
    for key, run_id in pairs:
        found.looked += 1
        found.position = key[len(prefix) :]
        if sought not in run_id:
            continue
        value = await tx.get(keys.run(project, run_id.decode()))
        if value is None:
            raise RuntimeError(f"the lists have a run {run_id!r} that is not there")
        view = await _view(tx, moment, project, run_id.decode(), value, wanted)
        if view is not None:
            found.views.append(view)
            if len(found.views) == limit:
                break
    found.back_to_ms = keys.created_of(found.position) if found.position else 0
    if found.looked == len(pairs) < IDS_AT_ONCE:
        found.position = b""
    return found


async def _view(
    tx: Tx, moment: Moment, project: str, run_id: str, value: bytes, wanted: RunFilter
) -> RunView | None:
    record = RunRecord.FromString(value)
    if wanted.statuses and record.status not in wanted.statuses:
        return None
    if wanted.workflow and record.workflow != wanted.workflow:
        return None
    if record.created_ms < wanted.since_ms:
        return None
    run = RunState(tx, project, run_id, record)
    record.lease_until_ms = run.lease_deadline(moment) or 0
    return await view_run(run, payloads=False)
