"""The commands of a turn: how many go into a request, and what they are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hookd.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.v1.worker_service_pb2 import Command

MAX_COMMANDS = 1000
MAX_BYTES = 8 * 1024 * 1024

_FIELD = re.compile(r"commands\[(\d+)\]\.(.*)", re.DOTALL)


def first_batch(commands: Sequence[Command]) -> Sequence[Command]:
    """Gives the first of the commands, as many as fit into one request; at least one."""
    if len(commands) > MAX_COMMANDS:
        commands = commands[:MAX_COMMANDS]
    size = 0
    for count, command in enumerate(commands):
        size += command.ByteSize()
        if size > MAX_BYTES and count:
            return commands[:count]
    return commands


def refusal(error: InvalidArgumentError, commands: Sequence[Command]) -> InvalidArgumentError:
    """Gives what the daemon said to commands in the words of who wrote the workflow."""
    for violation in error.violations:
        found = _FIELD.fullmatch(violation.field)
        if found is not None and int(found[1]) < len(commands):
            about = _about(commands[int(found[1])])
            text = f"the daemon refuses {about}: {found[2]}: {violation.description}"
            return InvalidArgumentError(text, violations=error.violations, metadata=error.metadata)
    return error


def _about(command: Command) -> str:
    match command.WhichOneof("command"):
        case "schedule_step":
            return f'step "{command.schedule_step.name}" ({command.schedule_step.step_id})'
        case "create_hook":
            return f"hook {command.create_hook.hook_id}"
        case "respond_webhook":
            answer = command.respond_webhook
            return f"the answer to request {answer.payload_seq} of {answer.hook_id}"
        case "start_child":
            return f"child {command.start_child.run_id}"
        case "start_timer":
            return f"timer {command.start_timer.timer_id}"
        case "complete_run":
            return "the result of the run"
        case kind:
            return f"a command to {str(kind).replace('_', ' ')}"
