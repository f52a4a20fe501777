"""What the code asked for, against what the log says that it asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookd.workflows import places
from hookd.workflows.errors import NonDeterminismError

if TYPE_CHECKING:
    from hookd.v1.events_pb2 import Event
    from hookd.workflows.commands import Pending

DEFAULT_NAMESPACE = "default"
"""The stream that a writer means who names none; the daemon writes it out."""

_ECHOES = {
    "create_hook": ("hook_created", "hook_conflict"),
    "dispose_hook": ("hook_disposed",),
    "respond_webhook": ("webhook_responded",),
    "schedule_step": ("step_scheduled",),
    "cancel_step": ("step_cancelled",),
    "start_timer": ("timer_started",),
    "cancel_timer": ("timer_cancelled",),
    "start_child": ("child_started",),
    "set_attributes": ("attributes_set",),
    "write_chunks": ("chunks_written",),
    "complete_run": ("run_completed",),
    "fail_run": ("run_failed",),
}
_NAMED_BY_ID = ("hook", "webhook", "step", "timer", "child")

# What the code did, for people. {name} and {id} are those of the command.
_DEEDS = {
    "create_hook": "created a hook ({id})",
    "dispose_hook": "disposed a hook ({id})",
    "respond_webhook": "answered request {name} of a webhook ({id})",
    "schedule_step": 'called the step "{name}" ({id})',
    "cancel_step": 'cancelled the step "{name}" ({id})',
    "start_timer": "started a timer ({id})",
    "cancel_timer": "cancelled a timer ({id})",
    "start_child": 'started a run of the workflow "{name}" ({id})',
    "set_attributes": "set attributes",
    "write_chunks": 'wrote to the stream "{name}"',
    "complete_run": "returned",
    "fail_run": "raised {name}",
}
_ADVICE = (
    "The code is not the one that this run was begun with, or it does not do the same each time. "
    "Run workers with the old code until its runs have ended, and give changed code a new name "
    "(@workflow(name=…)); or start the run anew."
)


def is_echo(pending: Pending, kind: str, event: Event) -> bool:
    """Whether an event is what a command has become."""
    if kind not in _ECHOES[pending.kind]:
        return False
    if kind.startswith(_NAMED_BY_ID) and event.correlation_id != pending.id:
        return False
    told = _name(kind, event)
    return told is None or told == pending.name


def mismatch(
    run: str, workflow: str, pending: Pending | None, kind: str, event: Event, idle: str
) -> NonDeterminismError:
    """Makes the error for an event that is not what the code asked for.

    Args:
        run: The id of the run.
        workflow: The name of its workflow.
        pending: What the code asked for; None for nothing.
        kind: The type of the event.
        event: The event.
        idle: Where the code stands when it asked for nothing.
    """
    if pending is None:
        did = f"asked for nothing: {idle}"
    else:
        did = deed(pending)
        if kind in _ECHOES[pending.kind] and event.correlation_id == pending.id:
            did += _difference(kind)
    return NonDeterminismError(
        f'The code of the workflow "{workflow}" does not do what the log of run {run} says: '
        f"event {event.seq} is {_event(kind, event)}, but the code {did}. {_ADVICE}"
    )


def deed(pending: Pending) -> str:
    """Gives what the code did, and where, for people."""
    did = _DEEDS[pending.kind].format(name=pending.name, id=pending.id)
    return did + places.text(pending.place)


def _name(kind: str, event: Event) -> str | None:
    """Gives what an event and its command must have in common besides the id."""
    match kind:
        case "hook_created":
            return event.hook_created.token
        case "hook_conflict":
            return event.hook_conflict.conflict.token
        case "webhook_responded":
            return str(event.webhook_responded.payload_seq)
        case "step_scheduled":
            return event.step_scheduled.name
        case "child_started":
            return event.child_started.workflow
        case "chunks_written":
            return event.chunks_written.namespace or DEFAULT_NAMESPACE
        case _:
            return None


def _event(kind: str, event: Event) -> str:
    # Not the token: it is a secret, and errors end up in logs.
    name = None if kind.startswith("hook") else _name(kind, event)
    if kind == "webhook_responded":
        return f"{kind} (request {name} of {event.correlation_id})"
    facts = [f'"{name}"'] if name else []
    facts += [event.correlation_id] if event.correlation_id else []
    return f"{kind} ({', '.join(facts)})" if facts else kind


def _difference(kind: str) -> str:
    return " with another token" if kind.startswith("hook") else ""
