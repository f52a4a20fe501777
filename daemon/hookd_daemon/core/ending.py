"""The end of a run and of a claim: what was held is free in the same commit."""

from __future__ import annotations

from hookd.v1.common_pb2 import (
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_FAILED,
    Failure,
    Payload,
    RunStatus,
)
from hookd.v1.events_pb2 import (
    DISPOSE_CAUSE_EXPIRED,
    DISPOSE_CAUSE_REQUESTED,
    Event,
    HookDisposed,
    RunCancelled,
    RunCompleted,
    RunFailed,
)

from hookd_daemon.core import topics
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.parents import children_to_cancel, tell_parent
from hookd_daemon.core.queues import dequeue_turn, wake
from hookd_daemon.core.run_timers import drop_timers
from hookd_daemon.core.runs import RunState, load_run, read_event
from hookd_daemon.core.steps import drop_steps
from hookd_daemon.core.timers import set_timer
from hookd_daemon.errors import RunNotActiveError, status_name
from hookd_daemon.records.v1.records_pb2 import (
    HOOK_STATE_DISPOSED,
    HOOK_STATE_EXPIRED,
    TIMER_KIND_HOLD,
    TIMER_KIND_RETENTION,
    ClaimRecord,
    HookRecord,
    TimerRecord,
)
from hookd_daemon.store.tx import Tx

COMPLETED = RUN_STATUS_COMPLETED
FAILED = RUN_STATUS_FAILED
CANCELLED = RUN_STATUS_CANCELLED


async def end_run(
    run: RunState, moment: Moment, status: RunStatus.ValueType, event: Event, cause: str = ""
) -> None:
    """Ends an active run: the event, the status and the release of its tokens.

    Unless it has completed, the runs that it has started end with it, as far as
    its workflow wanted that.

    Args:
        run: the run.
        moment: when.
        status: how it ended.
        event: the last event of its log.
        cause: for the counters, why its tokens are free; the status if empty.
    """
    await _end(run, moment, status, event, cause)
    await tell_parent(run, moment, status, event)
    if status == COMPLETED:
        return
    doomed = await children_to_cancel(run)
    while doomed:
        child = doomed.pop()
        reason = f"its parent run {child.record.parent_run_id} has ended"
        last = Event(run_cancelled=RunCancelled(reason=reason))
        await _end(child, moment, CANCELLED, last, "")
        doomed += await children_to_cancel(child)


async def _end(
    run: RunState, moment: Moment, status: RunStatus.ValueType, event: Event, cause: str
) -> None:
    tx, record = run.tx, run.record
    claims = await tx.claims_of(run.project, run.uid)
    kept = [(token, claim) for token, claim in claims if not await _expire(run, moment, claim)]
    run.append(event, moment)
    run.set_status(status)
    dequeue_turn(run)
    await drop_steps(run)
    await drop_timers(run)
    record.ended_ms = moment.now_ms
    for token, claim in kept:
        if claim.hold_after_ms:
            _hold(run, moment, token, claim)
        else:
            tx.release(run.project, token, claim)
            tx.tally(f"releases.{cause or status_name(status)}")
    if moment.retention_ms is not None:
        set_timer(
            tx,
            max(moment.now_ms + moment.retention_ms, record.held_until_ms),
            TimerRecord(
                kind=TIMER_KIND_RETENTION,
                project=run.project,
                run_id=run.run_id,
                run_uid=run.uid,
            ),
        )
    run.save()
    tx.notify(topics.run_ended(run.uid))
    tx.tally(f"runs_ended.{status_name(status)}")


async def _expire(run: RunState, moment: Moment, claim: ClaimRecord) -> bool:
    """Disposes a hook whose ttl has passed and whose timer has not fired: no hold is for it."""
    if not claim.expires_ms or claim.expires_ms > moment.now_ms:
        return False
    value = await run.tx.get(run.hook_key(claim.hook_id))
    if value is None:
        raise RuntimeError(f"a claim belongs to hook {claim.hook_id}, which is not there")
    hook = HookRecord.FromString(value)
    release_hook(run, moment, claim.hook_id, hook, claim, expired=True)
    return True


def _hold(run: RunState, moment: Moment, token: str, claim: ClaimRecord) -> None:
    claim.held_until_ms = moment.now_ms + claim.hold_after_ms
    run.record.held_until_ms = max(run.record.held_until_ms, claim.held_until_ms)
    run.tx.amend(run.project, token, claim)
    set_timer(run.tx, claim.held_until_ms, hold_timer(run.project, token, claim))


def hold_timer(project: str, token: str, claim: ClaimRecord) -> TimerRecord:
    """The timer that frees a token at the end of its hold."""
    return TimerRecord(
        kind=TIMER_KIND_HOLD,
        project=project,
        run_id=claim.run_id,
        run_uid=claim.run_uid,
        token=token,
        revision=claim.revision,
    )


def release_hook(
    run: RunState,
    moment: Moment,
    hook_id: str,
    hook: HookRecord,
    claim: ClaimRecord | None,
    *,
    expired: bool = False,
) -> None:
    """Disposes a hook that has not been disposed; frees its token if it holds it.

    The run's record is to be saved by the caller.
    """
    hook.state = HOOK_STATE_EXPIRED if expired else HOOK_STATE_DISPOSED
    run.tx.put(run.hook_key(hook_id), hook.SerializeToString())
    if run.active:
        # A run's log ends with its end: giving up a hold leaves no event.
        cause = DISPOSE_CAUSE_EXPIRED if expired else DISPOSE_CAUSE_REQUESTED
        run.append(Event(correlation_id=hook_id, hook_disposed=HookDisposed(cause=cause)), moment)
        if not run.turn:
            wake(run, moment)
    if claim is not None:
        run.tx.release(run.project, hook.token, claim)
        run.tx.tally("releases.expired" if expired else "releases.disposed")
    run.tx.notify(topics.hook(run.uid, hook_id))


async def complete_run(
    tx: Tx, moment: Moment, project: str, run_id: str, output: Payload
) -> tuple[RunState, bool]:
    """Ends a run with an output.

    Returns:
        The run, and whether it had completed with this very output before.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended otherwise.
    """
    run = await load_run(tx, moment, project, run_id)
    event = Event(run_completed=RunCompleted(output=output))
    return run, await _end_once(run, moment, COMPLETED, event)


async def fail_run(
    tx: Tx, moment: Moment, project: str, run_id: str, failure: Failure
) -> tuple[RunState, bool]:
    """Ends a run with an error.

    Returns:
        The run, and whether it had failed with this very error before.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended otherwise.
    """
    run = await load_run(tx, moment, project, run_id)
    event = Event(run_failed=RunFailed(failure=failure))
    return run, await _end_once(run, moment, FAILED, event)


async def _end_once(
    run: RunState, moment: Moment, status: RunStatus.ValueType, event: Event
) -> bool:
    if run.active:
        await end_run(run, moment, status, event)
        return False
    if run.record.status == status:
        # The run's id is the key of the retry: the same end again is the first answer.
        last = await read_event(run.tx, run, run.record.last_seq)
        if last.WhichOneof("data") == event.WhichOneof("data") and (
            last.run_completed == event.run_completed and last.run_failed == event.run_failed
        ):
            return True
    raise RunNotActiveError(run.run_id, run.record.status)


async def cancel_run(
    tx: Tx, moment: Moment, project: str, run_id: str, reason: str
) -> tuple[RunState, bool]:
    """Ends a run that nobody wants any more.

    Returns:
        The run, and whether it had been cancelled before.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has completed or failed.
    """
    run = await load_run(tx, moment, project, run_id)
    if run.record.status == CANCELLED:
        return run, True
    run.require_active()
    await end_run(run, moment, CANCELLED, Event(run_cancelled=RunCancelled(reason=reason)))
    return run, False
