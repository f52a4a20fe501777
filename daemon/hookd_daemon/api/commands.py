"""The commands of a turn as workers send them, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import HookSpec as HookSpecMessage
from hookd.v1.events_pb2 import RetryPolicy
from hookd.webhook_rules import MAX_BODY_BYTES

from hookd_daemon.api import validate, webhooks
from hookd_daemon.api.specs import hook_spec
from hookd_daemon.api.streams import DEFAULT_NAMESPACE
from hookd_daemon.core.commands import Command
from hookd_daemon.core.hooks import HookSpec
from hookd_daemon.errors import InvalidArgumentError

MAX_RETRIES = 1_000_000
MAX_BACKOFF = 1_000

#: Nothing comes after them.
_LAST = ("complete_run", "fail_run")


def commands(messages: Sequence[pb.Command], max_token_bytes: int) -> list[Command]:
    """Checks the commands of a turn.

    Args:
        messages: what the worker sends.
        max_token_bytes: the operator's limit.

    Raises:
        InvalidArgumentError: something is wrong; names the field of the
            request: ``commands[3].schedule_step.name``.
    """
    validate.count("commands", len(messages), validate.MAX_BATCH)
    checked = []
    for at, message in enumerate(messages):
        kind = message.WhichOneof("command")
        try:
            checked.append(_checked(kind, message, max_token_bytes))
        except InvalidArgumentError as error:
            raise error.within(f"commands[{at}]") from None
        if kind in _LAST and at < len(messages) - 1:
            raise InvalidArgumentError(f"commands[{at}].{kind}", "must be the last command")
    return checked


def _checked(kind: str | None, message: pb.Command, max_token_bytes: int) -> Command:
    if kind is None:
        raise InvalidArgumentError("command", "is none that this daemon knows")
    command = getattr(message, kind)
    try:
        if isinstance(command, HookSpecMessage):
            return _hook(command, max_token_bytes)
        _CHECKS[type(command)](command)
    except InvalidArgumentError as error:
        raise error.within(kind) from None
    checked: Command = command
    return checked


def _hook(command: HookSpecMessage, max_token_bytes: int) -> HookSpec:
    # A replay must name the same hook again.
    validate.identifier("hook_id", command.hook_id)
    return hook_spec(command, max_token_bytes)


def _dispose_hook(command: pb.DisposeHookCommand) -> None:
    validate.identifier("hook_id", command.hook_id)


def _schedule_step(command: pb.ScheduleStepCommand) -> None:
    validate.identifier("step_id", command.step_id)
    validate.text("name", command.name, validate.MAX_WORKFLOW_BYTES, least=1)
    validate.payload("input", command.input)
    _retry("retry", command.retry)


def _retry(field: str, retry: RetryPolicy) -> None:
    if retry.max_retries > MAX_RETRIES:
        raise InvalidArgumentError(
            f"{field}.max_retries", f"must be at most {MAX_RETRIES}; it is {retry.max_retries}"
        )
    # Written so that it refuses what is not a number, too.
    if retry.backoff != 0 and not 1 <= retry.backoff <= MAX_BACKOFF:
        raise InvalidArgumentError(
            f"{field}.backoff", f"must be 1 to {MAX_BACKOFF}, or 0; it is {retry.backoff:g}"
        )
    for name in ("initial_interval", "max_interval"):
        if retry.HasField(name):
            interval = getattr(retry, name)
            validate.duration_ms(f"{field}.{name}", interval, 0, validate.MAX_DURATION_MS)


def _cancel_step(command: pb.CancelStepCommand) -> None:
    validate.identifier("step_id", command.step_id)


def _start_timer(command: pb.StartTimerCommand) -> None:
    validate.identifier("timer_id", command.timer_id)
    match command.WhichOneof("when"):
        case "after":
            validate.duration_ms("after", command.after, 0, validate.MAX_DURATION_MS)
        case "at":
            validate.timestamp_ms("at", command.at)
        case _:
            raise InvalidArgumentError("when", "must be set: 'after' or 'at'")


def _cancel_timer(command: pb.CancelTimerCommand) -> None:
    validate.identifier("timer_id", command.timer_id)


def _start_child(command: pb.StartChildCommand) -> None:
    validate.identifier("run_id", command.run_id)
    validate.text("workflow", command.workflow, validate.MAX_WORKFLOW_BYTES, least=1)
    validate.payload("input", command.input)
    validate.attributes("attributes", command.attributes)


def _set_attributes(command: pb.SetAttributesCommand) -> None:
    validate.attributes("attributes", command.attributes)


def _write_chunks(command: pb.WriteChunksCommand) -> None:
    if command.namespace:
        validate.identifier("namespace", command.namespace)
    else:
        command.namespace = DEFAULT_NAMESPACE
    validate.count("chunks", len(command.chunks), validate.MAX_BATCH)
    for i, chunk in enumerate(command.chunks):
        validate.payload(f"chunks[{i}]", chunk)


def _complete_run(command: pb.CompleteRunCommand) -> None:
    validate.payload("output", command.output)


def _fail_run(command: pb.FailRunCommand) -> None:
    validate.failure("failure", command.failure)


def _respond_webhook(command: pb.RespondWebhookCommand) -> None:
    validate.identifier("hook_id", command.hook_id)
    webhooks.response("response", command.response, MAX_BODY_BYTES)


_CHECKS: dict[type[Any], Callable[[Any], None]] = {
    pb.DisposeHookCommand: _dispose_hook,
    pb.ScheduleStepCommand: _schedule_step,
    pb.CancelStepCommand: _cancel_step,
    pb.StartTimerCommand: _start_timer,
    pb.CancelTimerCommand: _cancel_timer,
    pb.StartChildCommand: _start_child,
    pb.SetAttributesCommand: _set_attributes,
    pb.WriteChunksCommand: _write_chunks,
    pb.CompleteRunCommand: _complete_run,
    pb.FailRunCommand: _fail_run,
    pb.RespondWebhookCommand: _respond_webhook,
}
