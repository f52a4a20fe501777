"""The commands of a turn: each changes the run and becomes exactly one event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hookd.v1.events_pb2 import (
    DISPOSE_CAUSE_REQUESTED,
    AttributesSet,
    ChunksWritten,
    Event,
    HookDisposed,
    RunCompleted,
    RunFailed,
)
from hookd.v1.worker_service_pb2 import (
    CancelStepCommand,
    CancelTimerCommand,
    CompleteRunCommand,
    DisposeHookCommand,
    FailRunCommand,
    RespondWebhookCommand,
    ScheduleStepCommand,
    SetAttributesCommand,
    StartChildCommand,
    StartTimerCommand,
    WriteChunksCommand,
)

from hookd_daemon.core.children import start_child
from hookd_daemon.core.ending import COMPLETED, FAILED, end_run, release_hook
from hookd_daemon.core.hooks import Claimed, HookSpec, create_hook, tally_claims
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.overdue import OverdueError
from hookd_daemon.core.run_timers import cancel_timer, start_timer
from hookd_daemon.core.runs import RunState
from hookd_daemon.core.steps import cancel_step, schedule_step
from hookd_daemon.core.streams import append_chunks
from hookd_daemon.core.tokens import ttl_timer
from hookd_daemon.core.webhooks import apply_response
from hookd_daemon.errors import (
    Conflict,
    HookConflictError,
    IdReusedError,
    InvalidArgumentError,
)
from hookd_daemon.records.v1.records_pb2 import HOOK_STATE_UNSPECIFIED, HookRecord, StepRecord

#: A run has at most so many attributes, whoever sets them.
MAX_ATTRIBUTES = 64

Command = (
    HookSpec
    | DisposeHookCommand
    | ScheduleStepCommand
    | CancelStepCommand
    | StartTimerCommand
    | CancelTimerCommand
    | StartChildCommand
    | SetAttributesCommand
    | WriteChunksCommand
    | CompleteRunCommand
    | FailRunCommand
    | RespondWebhookCommand
)


@dataclass(slots=True)
class Applied:
    """What the commands of a turn have done, for those who come after them.

    Attributes:
        conflicts: the claims that were lost.
        steps: the steps that were scheduled and not cancelled, by their ids,
            with their first events.
    """

    conflicts: list[Conflict] = field(default_factory=list)
    steps: dict[str, tuple[StepRecord, Event]] = field(default_factory=dict)


async def apply_command(
    run: RunState, moment: Moment, at: int, command: Command, applied: Applied
) -> None:
    """Applies one command; the run's record is to be saved by the caller.

    Args:
        run: the run.
        moment: when.
        at: the position of the command in its turn, for errors.
        command: the command.
        applied: what is added to.

    Raises:
        InvalidArgumentError: it cannot be applied to this run.
        IdReusedError: what it makes is there already.
    """
    try:
        await _APPLY[type(command)](run, moment, command, applied)
    except InvalidArgumentError as error:
        raise error.within(f"commands[{at}]") from None


async def _create_hook(run: RunState, moment: Moment, spec: HookSpec, applied: Applied) -> None:
    if await run.tx.get(run.hook_key(spec.hook_id)) is not None:
        # A command becomes an event; this one would have none.
        raise IdReusedError(
            f"run {run.run_id} has a hook {spec.hook_id} already",
            run_id=run.run_id,
            hook_id=spec.hook_id,
        )
    outcome = await create_hook(run, moment, spec)
    tally_claims(run.tx, [outcome])
    if isinstance(outcome, HookConflictError):
        applied.conflicts.append(outcome.conflict)
    elif not isinstance(outcome, Claimed):
        raise outcome


async def _dispose_hook(
    run: RunState, moment: Moment, command: DisposeHookCommand, applied: Applied
) -> None:
    hook_id = command.hook_id
    value = await run.tx.get(run.hook_key(hook_id))
    if value is None:
        raise InvalidArgumentError("dispose_hook.hook_id", f"the run has no hook {hook_id}")
    hook = HookRecord.FromString(value)
    if hook.state != HOOK_STATE_UNSPECIFIED:
        gone = HookDisposed(cause=DISPOSE_CAUSE_REQUESTED, already_gone=True)
        run.append(Event(correlation_id=hook_id, hook_disposed=gone), moment)
        return
    claim = await run.tx.owner(run.project, hook.token)
    if claim is None or claim.run_uid != run.uid or claim.hook_id != hook_id:
        raise RuntimeError(f"the active hook {hook_id} of run {run.run_id} has no claim")
    if claim.expires_ms and claim.expires_ms <= moment.now_ms:
        raise OverdueError(ttl_timer(run.project, hook.token, claim))
    release_hook(run, moment, hook_id, hook, claim)


async def _schedule_step(
    run: RunState, moment: Moment, command: ScheduleStepCommand, applied: Applied
) -> None:
    applied.steps[command.step_id] = await schedule_step(run, moment, command)


async def _cancel_step(
    run: RunState, moment: Moment, command: CancelStepCommand, applied: Applied
) -> None:
    applied.steps.pop(command.step_id, None)
    if not await cancel_step(run, moment, command.step_id):
        raise InvalidArgumentError("cancel_step.step_id", f"the run has no step {command.step_id}")


async def _start_timer(
    run: RunState, moment: Moment, command: StartTimerCommand, applied: Applied
) -> None:
    await start_timer(run, moment, command)


async def _cancel_timer(
    run: RunState, moment: Moment, command: CancelTimerCommand, applied: Applied
) -> None:
    await cancel_timer(run, moment, command.timer_id)


async def _start_child(
    run: RunState, moment: Moment, command: StartChildCommand, applied: Applied
) -> None:
    await start_child(run, moment, command)


async def _set_attributes(
    run: RunState, moment: Moment, command: SetAttributesCommand, applied: Applied
) -> None:
    attributes = run.record.attributes
    for name, value in command.attributes.items():
        if value:
            attributes[name] = value
        else:
            attributes.pop(name, None)
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidArgumentError(
            "set_attributes.attributes",
            f"the run would have {len(attributes)} of them, at most {MAX_ATTRIBUTES} are allowed",
        )
    run.append(Event(attributes_set=AttributesSet(attributes=command.attributes)), moment)


async def _write_chunks(
    run: RunState, moment: Moment, command: WriteChunksCommand, applied: Applied
) -> None:
    position, count = await append_chunks(
        run, moment, command.namespace, command.chunks, close=command.close
    )
    written = ChunksWritten(
        namespace=command.namespace,
        position=position,
        count=count,
        closed=command.close or count < len(command.chunks),
    )
    run.append(Event(chunks_written=written), moment)


async def _complete_run(
    run: RunState, moment: Moment, command: CompleteRunCommand, applied: Applied
) -> None:
    event = Event(run_completed=RunCompleted(output=command.output))
    await end_run(run, moment, COMPLETED, event)


async def _fail_run(
    run: RunState, moment: Moment, command: FailRunCommand, applied: Applied
) -> None:
    await end_run(run, moment, FAILED, Event(run_failed=RunFailed(failure=command.failure)))


async def _respond_webhook(
    run: RunState, moment: Moment, command: RespondWebhookCommand, applied: Applied
) -> None:
    try:
        await apply_response(run, moment, command)
    except InvalidArgumentError as error:
        raise error.within("respond_webhook") from None


_APPLY: dict[type[Any], Callable[[RunState, Moment, Any, Applied], Awaitable[None]]] = {
    HookSpec: _create_hook,
    DisposeHookCommand: _dispose_hook,
    ScheduleStepCommand: _schedule_step,
    CancelStepCommand: _cancel_step,
    StartTimerCommand: _start_timer,
    CancelTimerCommand: _cancel_timer,
    StartChildCommand: _start_child,
    SetAttributesCommand: _set_attributes,
    WriteChunksCommand: _write_chunks,
    CompleteRunCommand: _complete_run,
    FailRunCommand: _fail_run,
    RespondWebhookCommand: _respond_webhook,
}
