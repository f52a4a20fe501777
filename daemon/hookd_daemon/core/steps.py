"""Steps: scheduled by a turn, executed by workers, tried again, ended once."""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.common_pb2 import Failure, Payload
from hookd.v1.events_pb2 import (
    Event,
    RetryPolicy,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepScheduled,
)
from hookd.v1.worker_service_pb2 import ScheduleStepCommand, StepFailure

from hookd_daemon.core import keys, topics
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import (
    Entry,
    dequeue_step,
    drop_entry,
    enqueue_step,
    entry_of_step,
    entry_of_turn,
    wake,
)
from hookd_daemon.core.runs import RunState, find_run, load_run, read_event
from hookd_daemon.core.timers import set_timer
from hookd_daemon.core.turn_tasks import LeasedTurn, read_turn
from hookd_daemon.errors import IdReusedError, StaleTurnError
from hookd_daemon.records.v1.records_pb2 import (
    STEP_STATE_CANCELLED,
    STEP_STATE_ENDED,
    STEP_STATE_RETRYING,
    STEP_STATE_UNSPECIFIED,
    TIMER_KIND_STEP_RETRY,
    StepRecord,
    TimerRecord,
)
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: A step whose workers were lost so often fails: it may be what ends them.
MAX_LOSSES = 10
#: The type of the failure of such a step.
WORKER_LOST = "WORKER_LOST"

DEFAULT_INTERVAL_MS = 1_000
DEFAULT_MAX_INTERVAL_MS = 3_600_000
DEFAULT_BACKOFF = 2.0
#: No time between two attempts is longer, whatever a worker asks for.
LONGEST_RETRY_MS = 366 * 86_400_000

_GONE = (STEP_STATE_ENDED, STEP_STATE_CANCELLED)


@dataclass(slots=True)
class LeasedStep:
    """A step that a worker is to execute.

    Attributes:
        run: its run.
        step_id: its id.
        record: its record; ``attempt`` is the one that begins.
        scheduled: its first event, with its input and its policy.
        last_attempt: no attempt follows if this one fails.
    """

    run: RunState
    step_id: str
    record: StepRecord
    scheduled: Event
    last_attempt: bool


@dataclass(frozen=True, slots=True)
class Parked:
    """A step whose worker may still be at it, since before the daemon's start.

    Attributes:
        until_ms: it is to be offered again then, in milliseconds since 1970.
    """

    until_ms: int


@dataclass(frozen=True, slots=True)
class StepSpec:
    """How an attempt went; exactly one of the last three says it.

    Attributes:
        run_id: the run.
        step_id: the step.
        attempt: the attempt, from 1.
        incarnation: tells the run from an earlier one with its id.
        take_turn_after: the worker has seen the run's log up to here and takes
            the turn that follows; None when it does not.
        output: what the step gave.
        failure: why the attempt failed.
        hand_back: nothing came of it, and another worker should try.
    """

    run_id: str
    step_id: str
    attempt: int
    incarnation: int
    take_turn_after: int | None = None
    output: Payload | None = None
    failure: StepFailure | None = None
    hand_back: bool = False


@dataclass(slots=True)
class StepOutcome:
    """What became of a report.

    Attributes:
        run: the run.
        duplicate: the attempt had been reported before.
        turn: the turn that the caller takes; None when there is none.
        entry: the entry of that turn.
    """

    run: RunState
    duplicate: bool
    turn: LeasedTurn | None = None
    entry: Entry | None = None


async def find_step(run: RunState, step_id: str) -> StepRecord | None:
    """Reads a step; None when there is none."""
    value = await run.tx.get(keys.step(run.uid, step_id))
    return None if value is None else StepRecord.FromString(value)


def save_step(run: RunState, step_id: str, step: StepRecord) -> None:
    """Writes a step."""
    run.tx.put(keys.step(run.uid, step_id), step.SerializeToString())


async def schedule_step(
    run: RunState, moment: Moment, command: ScheduleStepCommand
) -> tuple[StepRecord, Event]:
    """Adds a step to a run; the run's record is to be saved by the caller.

    Raises:
        IdReusedError: the run has a step with this id.
    """
    step_id = command.step_id
    if await run.tx.get(keys.step(run.uid, step_id)) is not None:
        raise IdReusedError(
            f"run {run.run_id} has a step {step_id} already", run_id=run.run_id, step_id=step_id
        )
    scheduled = StepScheduled(name=command.name, input=command.input, retry=command.retry)
    event = Event(correlation_id=step_id, step_scheduled=scheduled)
    step = StepRecord(name=command.name, scheduled_seq=run.append(event, moment))
    enqueue_step(run, moment, step_id, step)
    save_step(run, step_id, step)
    run.record.open_steps += 1
    return step, event


async def cancel_step(run: RunState, moment: Moment, step_id: str) -> bool:
    """Notes that the code does not wait for a step any more; False when there is no such step."""
    step = await find_step(run, step_id)
    if step is None:
        return False
    ended = step.state in _GONE
    cancelled = StepCancelled(already_ended=ended)
    run.append(Event(correlation_id=step_id, step_cancelled=cancelled), moment)
    if not ended:
        dequeue_step(run, step)
        step.state = STEP_STATE_CANCELLED
        save_step(run, step_id, step)
        run.record.open_steps -= 1
        run.tx.notify(topics.step_dropped(run.uid, step_id))
    return True


async def drop_steps(run: RunState) -> None:
    """Takes the open steps of a run that ends out of their queues."""
    if not run.record.open_steps:
        return
    prefix = keys.steps(run.uid)
    start = prefix
    while run.record.open_steps:
        pairs = await run.tx.scan(start, end_of(prefix), 256)
        if not pairs:
            break
        for key, value in pairs:
            step = StepRecord.FromString(value)
            if step.state not in _GONE:
                dequeue_step(run, step)
                step.state = STEP_STATE_CANCELLED
                run.tx.put(key, step.SerializeToString())
                run.record.open_steps -= 1
        start = pairs[-1][0] + b"\0"


def begin_attempt(
    run: RunState, moment: Moment, step_id: str, step: StepRecord, scheduled: Event
) -> LeasedStep:
    """Notes that a worker begins to execute a step."""
    step.attempt += 1
    step.leased_ms = moment.now_ms
    save_step(run, step_id, step)
    run.tx.tally("steps.started")
    last = step.failures >= scheduled.step_scheduled.retry.max_retries
    return LeasedStep(run, step_id, step, scheduled, last)


async def lease_step(
    tx: Tx, moment: Moment, project: str, entry: Entry, lease_ttl_ms: int
) -> LeasedStep | Parked | None:
    """Hands a step to a worker.

    Args:
        tx: the transaction.
        moment: when.
        project: where.
        entry: the step's entry, of which this daemon knows no lease.
        lease_ttl_ms: how long a lease lasts. An attempt that began before the
            daemon's start gets all of it again: its worker may be at it.

    Returns:
        None when there is nothing to execute any more: the entry is gone.
    """
    run, step = await _step_of_entry(tx, moment, project, entry)
    if run is None or step is None:
        drop_entry(tx, entry)
        return None
    until_ms = moment.booted_ms + lease_ttl_ms
    if 0 < step.leased_ms < moment.booted_ms and moment.now_ms < until_ms:
        return Parked(until_ms)
    scheduled = await read_event(tx, run, step.scheduled_seq)
    return begin_attempt(run, moment, entry.step_id, step, scheduled)


async def _step_of_entry(
    tx: Tx, moment: Moment, project: str, entry: Entry
) -> tuple[RunState | None, StepRecord | None]:
    run = await find_run(tx, moment, project, entry.run_id)
    if run is None or run.uid != entry.run_uid or not run.active:
        return None, None
    step = await find_step(run, entry.step_id)
    if step is None or step.queued != entry.number:
        return run, None
    return run, step


async def adopt_step(
    tx: Tx, moment: Moment, project: str, run_id: str, step_id: str, attempt: int
) -> Entry | None:
    """The entry of a step whose worker is known no more, and says it is still at it.

    Returns:
        None when that attempt is not the step's current one, or is not needed.
    """
    run = await find_run(tx, moment, project, run_id)
    if run is None or not run.active:
        return None
    step = await find_step(run, step_id)
    if step is None or not _is_current(step, attempt):
        return None
    return entry_of_step(run, step_id, step)


def _is_current(step: StepRecord, attempt: int) -> bool:
    """Whether an attempt is under way, as far as is known."""
    return (
        step.state == STEP_STATE_UNSPECIFIED
        and step.attempt == attempt
        and step.reported != attempt
    )


async def lose_step(
    tx: Tx, moment: Moment, project: str, run_id: str, step_id: str, attempt: int
) -> None:
    """Notes that the worker of an attempt is gone; the step stays in its queue.

    A lost worker says nothing about the step, so it costs no retry. But a step
    that loses worker after worker may be what kills them: it fails.
    """
    run = await find_run(tx, moment, project, run_id)
    if run is None or not run.active:
        return
    step = await find_step(run, step_id)
    if step is None or not _is_current(step, attempt):
        return
    step.losses += 1
    tx.tally("steps.lost")
    if step.losses < MAX_LOSSES:
        save_step(run, step_id, step)
        return
    failure = Failure(
        type=WORKER_LOST, message=f"{step.losses} workers were lost while they executed the step"
    )
    _fail(run, moment, step_id, step, failure)
    run.save()


async def complete_step(tx: Tx, moment: Moment, project: str, spec: StepSpec) -> StepOutcome:
    """Takes the report of a worker.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended, and the report is not a retry.
        StaleTurnError: the step is not there, was cancelled, or another
            attempt at it has begun.
    """
    run = await load_run(tx, moment, project, spec.run_id)
    step = await find_step(run, spec.step_id)
    if step is None or run.uid != spec.incarnation:
        run.require_active()
        raise StaleTurnError(spec.run_id, f"it has no step {spec.step_id}")
    if step.reported == spec.attempt:
        return StepOutcome(run, duplicate=True)
    run.require_active()
    if step.state == STEP_STATE_CANCELLED:
        raise StaleTurnError(spec.run_id, f"the step {spec.step_id} was cancelled")
    if step.attempt != spec.attempt:
        raise StaleTurnError(
            spec.run_id,
            f"attempt {spec.attempt} at the step {spec.step_id} is over; "
            f"attempt {step.attempt} has begun",
        )
    if step.state == STEP_STATE_ENDED:
        raise StaleTurnError(spec.run_id, f"the step {spec.step_id} has failed: it lost too often")
    step.reported = spec.attempt
    if spec.hand_back:
        # The next lease must not wait for the worker that gave it back.
        step.leased_ms = 0
        save_step(run, spec.step_id, step)
        return StepOutcome(run, duplicate=False)
    if spec.output is not None:
        completed = StepCompleted(name=step.name, output=spec.output, attempt=step.attempt)
        completed.started_at.FromMilliseconds(step.leased_ms)
        _end(run, moment, spec.step_id, step, Event(step_completed=completed))
        tx.tally("steps.completed")
    else:
        await _attempt_failed(run, moment, spec, step)
    run.save()
    outcome = StepOutcome(run, duplicate=False)
    if spec.take_turn_after is not None and run.record.queued:
        outcome.turn = await read_turn(run, spec.take_turn_after)
        outcome.entry = entry_of_turn(run)
    return outcome


def _end(run: RunState, moment: Moment, step_id: str, step: StepRecord, event: Event) -> None:
    event.correlation_id = step_id
    run.append(event, moment)
    dequeue_step(run, step)
    step.state = STEP_STATE_ENDED
    save_step(run, step_id, step)
    run.record.open_steps -= 1
    wake(run, moment)


def _fail(run: RunState, moment: Moment, step_id: str, step: StepRecord, failure: Failure) -> None:
    failed = StepFailed(name=step.name, failure=failure, attempt=step.attempt)
    failed.started_at.FromMilliseconds(step.leased_ms)
    _end(run, moment, step_id, step, Event(step_failed=failed))
    run.tx.tally("steps.failed")


async def _attempt_failed(run: RunState, moment: Moment, spec: StepSpec, step: StepRecord) -> None:
    report = spec.failure or StepFailure()
    scheduled = await read_event(run.tx, run, step.scheduled_seq)
    policy = scheduled.step_scheduled.retry
    step.failures += 1
    if report.final or step.failures > policy.max_retries:
        _fail(run, moment, spec.step_id, step, report.failure)
        return
    if report.HasField("retry_after"):
        delay_ms = report.retry_after.ToMilliseconds()
    else:
        delay_ms = retry_delay_ms(policy, step.failures)
    step.retry_ms = moment.now_ms + min(max(delay_ms, 0), LONGEST_RETRY_MS)
    dequeue_step(run, step)
    step.state = STEP_STATE_RETRYING
    save_step(run, spec.step_id, step)
    retrying = StepRetrying(name=step.name, attempt=step.attempt, failure=report.failure)
    retrying.next_attempt_at.FromMilliseconds(step.retry_ms)
    run.append(Event(correlation_id=spec.step_id, step_retrying=retrying), moment)
    set_timer(
        run.tx,
        step.retry_ms,
        TimerRecord(
            kind=TIMER_KIND_STEP_RETRY,
            project=run.project,
            run_id=run.run_id,
            run_uid=run.uid,
            id=spec.step_id,
        ),
    )
    run.tx.tally("steps.retried")


def retry_delay_ms(policy: RetryPolicy, failures: int) -> int:
    """The time between the failure with this number, from 1, and the next attempt."""
    first = DEFAULT_INTERVAL_MS
    if policy.HasField("initial_interval"):
        first = policy.initial_interval.ToMilliseconds()
    most = DEFAULT_MAX_INTERVAL_MS
    if policy.HasField("max_interval"):
        most = policy.max_interval.ToMilliseconds()
    factor = policy.backoff or DEFAULT_BACKOFF
    try:
        grown = first * factor ** (failures - 1)
    except OverflowError:
        return most
    return int(min(grown, most))


async def retry_step(run: RunState, moment: Moment, timer: TimerRecord) -> str:
    """Offers a step again whose next attempt is due."""
    step = await find_step(run, timer.id)
    if not run.active or step is None or step.state != STEP_STATE_RETRYING:
        return ""
    if step.retry_ms > moment.now_ms:
        return ""
    step.state = STEP_STATE_UNSPECIFIED
    # It is not being executed: nobody has to be waited for.
    step.leased_ms = 0
    enqueue_step(run, moment, timer.id, step)
    save_step(run, timer.id, step)
    return "step is tried again"
