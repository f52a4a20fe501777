"""Giving up on work that no worker serves."""

from __future__ import annotations

from hookd.v1.common_pb2 import Failure
from hookd.v1.events_pb2 import Event, RunFailed

from hookd_daemon.core.ending import FAILED, end_run
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import STEP, Entry, drop_entry
from hookd_daemon.core.runs import find_run
from hookd_daemon.core.steps import find_step
from hookd_daemon.store.tx import Tx

#: The types of the failures of such runs.
WORKFLOW_NOT_SERVED = "WORKFLOW_NOT_SERVED"
STEP_NOT_SERVED = "STEP_NOT_SERVED"


async def fail_unserved(tx: Tx, moment: Moment, project: str, entry: Entry) -> bool:
    """Fails the run of an entry whose name no worker serves.

    Returns:
        False when the entry does not stand for anything any more.
    """
    run = await find_run(tx, moment, project, entry.run_id)
    if run is None or run.uid != entry.run_uid or not run.active:
        drop_entry(tx, entry)
        return False
    if entry.kind == STEP:
        step = await find_step(run, entry.step_id)
        queued = 0 if step is None else step.queued
        kind, what = STEP_NOT_SERVED, f"the step {entry.name}"
    else:
        queued = run.record.queued
        kind, what = WORKFLOW_NOT_SERVED, f"the workflow {entry.name}"
    if queued != entry.number:
        drop_entry(tx, entry)
        return False
    failure = Failure(type=kind, message=f"no worker serves {what}")
    await end_run(run, moment, FAILED, Event(run_failed=RunFailed(failure=failure)))
    return True
