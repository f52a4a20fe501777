"""The timers of runs: a workflow sleeps, or has set a deadline."""

from __future__ import annotations

from hookd.v1.events_pb2 import Event, TimerCancelled, TimerFired, TimerStarted
from hookd.v1.worker_service_pb2 import StartTimerCommand

from hookd_daemon.core import keys
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import wake
from hookd_daemon.core.runs import RunState
from hookd_daemon.core.timers import set_timer
from hookd_daemon.errors import IdReusedError
from hookd_daemon.records.v1.records_pb2 import (
    TIMER_KIND_RUN_TIMER,
    RunTimerRecord,
    TimerRecord,
)
from hookd_daemon.store.keys import end_of


async def start_timer(run: RunState, moment: Moment, command: StartTimerCommand) -> None:
    """Starts a timer; the run's record is to be saved by the caller.

    Raises:
        IdReusedError: the run has a timer with this id that has not fired.
    """
    timer_id = command.timer_id
    key = keys.run_timer(run.uid, timer_id)
    if await run.tx.get(key) is not None:
        raise IdReusedError(
            f"run {run.run_id} has a timer {timer_id} already", run_id=run.run_id, timer_id=timer_id
        )
    if command.WhichOneof("when") == "at":
        due_ms = command.at.ToMilliseconds()
    else:
        due_ms = moment.now_ms + command.after.ToMilliseconds()
    # One whose time has passed fires in a commit of its own, like all others.
    due_ms = max(due_ms, moment.now_ms)
    timer = TimerRecord(
        kind=TIMER_KIND_RUN_TIMER,
        project=run.project,
        run_id=run.run_id,
        run_uid=run.uid,
        id=timer_id,
    )
    number = set_timer(run.tx, due_ms, timer)
    run.tx.put(key, RunTimerRecord(due_ms=due_ms, number=number).SerializeToString())
    run.record.open_timers += 1
    started = TimerStarted()
    started.fires_at.FromMilliseconds(due_ms)
    run.append(Event(correlation_id=timer_id, timer_started=started), moment)


async def cancel_timer(run: RunState, moment: Moment, timer_id: str) -> None:
    """Takes a timer back, if it has not fired; the run's record is to be saved by the caller."""
    key = keys.run_timer(run.uid, timer_id)
    value = await run.tx.get(key)
    if value is not None:
        _remove(run, key, RunTimerRecord.FromString(value))
    cancelled = TimerCancelled(already_fired=value is None)
    run.append(Event(correlation_id=timer_id, timer_cancelled=cancelled), moment)


def _remove(run: RunState, key: bytes, timer: RunTimerRecord) -> None:
    run.tx.delete(key)
    run.tx.delete(keys.timer(timer.due_ms, timer.number))
    run.record.open_timers -= 1


async def drop_timers(run: RunState) -> None:
    """Takes back all timers of a run that ends."""
    if not run.record.open_timers:
        return
    prefix = keys.run_timers(run.uid)
    start = prefix
    while run.record.open_timers:
        pairs = await run.tx.scan(start, end_of(prefix), 256)
        if not pairs:
            break
        for key, value in pairs:
            _remove(run, key, RunTimerRecord.FromString(value))
        start = pairs[-1][0] + b"\0"


async def fire_run_timer(run: RunState, moment: Moment, timer: TimerRecord) -> str:
    """Tells a run that the time of one of its timers has come."""
    key = keys.run_timer(run.uid, timer.id)
    value = await run.tx.get(key)
    if not run.active or value is None:
        return ""
    if RunTimerRecord.FromString(value).due_ms > moment.now_ms:
        return ""
    run.tx.delete(key)
    run.record.open_timers -= 1
    run.append(Event(correlation_id=timer.id, timer_fired=TimerFired()), moment)
    wake(run, moment)
    run.save()
    run.tx.tally("timers_fired")
    return "timer fired"
