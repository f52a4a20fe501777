"""What workers are told to do, as messages of the API."""

from __future__ import annotations

from hookd.v1 import worker_service_pb2 as pb

from hookd_daemon.api import messages
from hookd_daemon.core.steps import LeasedStep
from hookd_daemon.core.turns import LeasedTurn
from hookd_daemon.dispatch.survey import QueueView
from hookd_daemon.dispatch.work import Dropped, Item


def turn_task(leased: LeasedTurn) -> pb.TurnTask:
    """A turn to take."""
    record = leased.run.record
    return pb.TurnTask(
        run_id=leased.run.run_id,
        incarnation=leased.run.uid,
        workflow=record.workflow,
        seed=record.seed,
        after_seq=leased.after_seq,
        events=leased.events,
        last_seq=record.last_seq,
        traceparent=record.traceparent,
    )


def step_task(leased: LeasedStep) -> pb.StepTask:
    """A step to execute."""
    scheduled, run = leased.scheduled, leased.run
    return pb.StepTask(
        run_id=run.run_id,
        incarnation=run.uid,
        workflow=run.record.workflow,
        step_id=leased.step_id,
        name=scheduled.step_scheduled.name,
        input=scheduled.step_scheduled.input,
        attempt=leased.record.attempt,
        last_attempt=leased.last_attempt,
        scheduled_at=scheduled.time,
        traceparent=run.record.traceparent,
    )


def step_ref(dropped: Dropped) -> pb.StepRef:
    """An attempt that nobody needs any more."""
    return pb.StepRef(run_id=dropped.run_id, step_id=dropped.step_id, attempt=dropped.attempt)


def poll_response(item: Item) -> pb.PollResponse:
    """What a worker is told."""
    if isinstance(item, Dropped):
        return pb.PollResponse(dropped_step=step_ref(item))
    if isinstance(item.leased, LeasedStep):
        return pb.PollResponse(step=step_task(item.leased))
    return pb.PollResponse(turn=turn_task(item.leased))


def queue_message(view: QueueView) -> pb.Queue:
    """A queue."""
    _, kind, name = view.key
    message = pb.Queue(
        kind=kind,
        name=name,
        length=view.backlog.length,
        leased=view.leased,
        workers=view.workers,
    )
    messages.set_time(message.oldest, view.backlog.oldest_ms)
    return message
