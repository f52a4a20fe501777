"""What a run waits for."""

from __future__ import annotations

from collections.abc import Callable

from hookd.v1.common_pb2 import (
    WAIT_KIND_CHILD,
    WAIT_KIND_HOOK,
    WAIT_KIND_RETRY,
    WAIT_KIND_STEP,
    WAIT_KIND_TIMER,
    WAIT_KIND_TURN,
    Wait,
)

from hookd_daemon.core import keys
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.reading import RunView, get_run
from hookd_daemon.core.runs import RunState
from hookd_daemon.records.v1.records_pb2 import (
    STEP_STATE_RETRYING,
    STEP_STATE_UNSPECIFIED,
    ChildRecord,
    RunTimerRecord,
    StepRecord,
)
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: So much is told of one run.
MOST_WAITS = 100
#: Records are read so many at a time.
RECORDS_AT_ONCE = 256


async def get_run_with_waits(
    tx: Tx, moment: Moment, project: str, run_id: str
) -> tuple[RunView, list[Wait]]:
    """Reads a run, and what it waits for: nothing when it has ended.

    Which worker is at it is not known here: ``attempt`` and ``unserved`` stay
    as they are.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    view = await get_run(tx, moment, project, run_id)
    return view, await waits_of(view.run)


async def waits_of(run: RunState) -> list[Wait]:
    """What an active run waits for, at most ``MOST_WAITS``."""
    waits: list[Wait] = []
    if not run.active:
        return waits
    if run.record.queued:
        waits.append(Wait(kind=WAIT_KIND_TURN, name=run.record.workflow))
    for read in (_steps, _hooks, _timers, _children):
        waits += await read(run, MOST_WAITS - len(waits))
    return waits


async def _steps(run: RunState, limit: int) -> list[Wait]:
    def wait_for(step_id: str, value: bytes) -> Wait | None:
        step = StepRecord.FromString(value)
        wait = Wait(name=step.name, correlation_id=step_id)
        if step.state == STEP_STATE_UNSPECIFIED:
            wait.kind = WAIT_KIND_STEP
        elif step.state == STEP_STATE_RETRYING:
            wait.kind = WAIT_KIND_RETRY
            wait.until.FromMilliseconds(step.retry_ms)
        else:
            return None
        return wait

    return await _first(run, keys.steps(run.uid), min(limit, run.record.open_steps), wait_for)


async def _hooks(run: RunState, limit: int) -> list[Wait]:
    waits = []
    for token, claim in (await run.tx.claims_of(run.project, run.uid))[:limit]:
        wait = Wait(kind=WAIT_KIND_HOOK, name=token, correlation_id=claim.hook_id)
        if claim.expires_ms:
            wait.until.FromMilliseconds(claim.expires_ms)
        waits.append(wait)
    return waits


async def _timers(run: RunState, limit: int) -> list[Wait]:
    def wait_for(timer_id: str, value: bytes) -> Wait:
        wait = Wait(kind=WAIT_KIND_TIMER, correlation_id=timer_id)
        wait.until.FromMilliseconds(RunTimerRecord.FromString(value).due_ms)
        return wait

    return await _first(run, keys.run_timers(run.uid), min(limit, run.record.open_timers), wait_for)


async def _children(run: RunState, limit: int) -> list[Wait]:
    def wait_for(run_id: str, value: bytes) -> Wait | None:
        child = ChildRecord.FromString(value)
        if child.ended:
            return None
        return Wait(kind=WAIT_KIND_CHILD, name=child.workflow, correlation_id=run_id)

    return await _first(run, keys.children(run.uid), min(limit, run.record.open_children), wait_for)


async def _first(
    run: RunState, prefix: bytes, count: int, wait_for: Callable[[str, bytes], Wait | None]
) -> list[Wait]:
    """The first ``count`` waits below a prefix; what has ended is there, too, and is none."""
    waits: list[Wait] = []
    start = prefix
    while len(waits) < count:
        pairs = await run.tx.scan(start, end_of(prefix), RECORDS_AT_ONCE)
        for key, value in pairs:
            wait = wait_for(key[len(prefix) :].decode(), value)
            if wait is not None and len(waits) < count:
                waits.append(wait)
        if len(pairs) < RECORDS_AT_ONCE:
            break
        start = pairs[-1][0] + b"\0"
    return waits
