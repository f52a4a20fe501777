"""Starting runs from inside of a workflow."""

from __future__ import annotations

import hashlib

from hookd.v1.events_pb2 import ChildStarted, Event
from hookd.v1.worker_service_pb2 import StartChildCommand

from hookd_daemon.core import keys
from hookd_daemon.core.limits import require_room_for_run
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState
from hookd_daemon.core.starting import FAIL, StartSpec, create_run
from hookd_daemon.records.v1.records_pb2 import ChildRecord


async def start_child(run: RunState, moment: Moment, command: StartChildCommand) -> None:
    """Starts a run for a run; both records but the parent's are saved here.

    A child whose id is taken is not started, and the parent is told.

    Raises:
        LimitExceededError: the project has as many runs as it may have.
    """
    taken = await run.tx.get(keys.run(run.project, command.run_id)) is not None
    if not taken:
        await require_room_for_run(run.tx, moment.limits, run.project, len(command.input.data))
        child = create_run(run.tx, moment, run.project, _spec(run, command), parent=run)
        child.save()
        record = ChildRecord(
            cancel_with_parent=command.cancel_with_parent, workflow=command.workflow
        )
        run.tx.put(keys.child(run.uid, command.run_id), record.SerializeToString())
        run.record.open_children += 1
    started = ChildStarted(workflow=command.workflow, refused=taken)
    run.append(Event(correlation_id=command.run_id, child_started=started), moment)


def _spec(run: RunState, command: StartChildCommand) -> StartSpec:
    # A retry of the turn is known by the turn: a child needs no digest of its
    # own, but one that no StartRun can have.
    digest = b"child of " + run.uid.to_bytes(8, "big")
    seed = hashlib.blake2b(command.run_id.encode(), key=run.record.seed, digest_size=32).digest()
    return StartSpec(
        run_id=command.run_id,
        workflow=command.workflow,
        input=command.input,
        attributes=command.attributes,
        claims=(),
        policy=FAIL,
        payload=type(command.input)(),
        payload_id="",
        external=False,
        lease_ttl_ms=0,
        digest=digest,
        seed=seed,
    )
