"""Who holds a token, and what a lost claim is told."""

from __future__ import annotations

from hookd.v1.errors_pb2 import HookConflict

from hookd_daemon.core.ending import hold_timer
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.overdue import OverdueError
from hookd_daemon.core.runs import RunState, find_run
from hookd_daemon.errors import Conflict
from hookd_daemon.records.v1.records_pb2 import TIMER_KIND_TTL, ClaimRecord, TimerRecord
from hookd_daemon.store.tx import Tx


def ttl_timer(project: str, token: str, claim: ClaimRecord) -> TimerRecord:
    """The timer that disposes a hook at the end of its ttl."""
    return TimerRecord(
        kind=TIMER_KIND_TTL,
        project=project,
        run_id=claim.run_id,
        run_uid=claim.run_uid,
        hook_id=claim.hook_id,
        token=token,
        revision=claim.revision,
    )


async def owner_run(
    tx: Tx, moment: Moment, project: str, token: str, claim: ClaimRecord
) -> RunState:
    """The run that holds a token by this claim.

    Raises:
        OverdueError: the claim's time has passed, and it has not been ended yet.
    """
    if claim.held_until_ms:
        if claim.held_until_ms <= moment.now_ms:
            raise OverdueError(hold_timer(project, token, claim))
    elif claim.expires_ms and claim.expires_ms <= moment.now_ms:
        raise OverdueError(ttl_timer(project, token, claim))
    run = await find_run(tx, moment, project, claim.run_id)
    if run is None or run.uid != claim.run_uid:
        raise RuntimeError(f"a claim belongs to run {claim.run_id}, which is not there")
    return run


async def conflict_with(
    tx: Tx, moment: Moment, project: str, token: str, claim: ClaimRecord
) -> Conflict:
    """What is told to whoever wanted a token that this claim holds.

    Raises:
        OverdueError: the claim's time has passed, and it has not been ended yet.
    """
    run = await owner_run(tx, moment, project, token, claim)
    detail = owner_detail(run, claim.hook_id, token, claim.revision, claim.claimed_ms)
    return Conflict(detail, claim.traceparent)


def owner_detail(
    run: RunState, hook_id: str, token: str, revision: int, claimed_ms: int
) -> HookConflict:
    """The owner of a token, as whoever wanted the token is told."""
    detail = HookConflict(
        project=run.project,
        token=token,
        run_id=run.run_id,
        hook_id=hook_id,
        run_status=run.record.status,
        workflow=run.record.workflow,
        revision=revision,
    )
    detail.claimed_at.FromMilliseconds(claimed_ms)
    return detail
