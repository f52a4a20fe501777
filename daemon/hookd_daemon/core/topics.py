"""What waiters wait for."""

from __future__ import annotations

from hookd.v1.worker_service_pb2 import QueueKind

from hookd_daemon.store.tx import Topic


def run_ended(uid: int) -> Topic:
    """A run has ended."""
    return ("ended", uid)


def run_log(uid: int) -> Topic:
    """A run's log has grown."""
    return ("log", uid)


def hook(uid: int, hook_id: str) -> Topic:
    """A hook has accepted a payload or is closed."""
    return ("hook", uid, hook_id)


def answer(uid: int, hook_id: str, payload_seq: int) -> Topic:
    """The run has said what the sender of a payload is answered."""
    return ("answer", uid, hook_id, payload_seq)


def token(project: str, token: str) -> Topic:
    """A token was claimed."""
    return ("token", project, token)


def stream(uid: int, namespace: str) -> Topic:
    """A stream has grown or is closed."""
    return ("stream", uid, namespace)


def queue(project: str, kind: QueueKind.ValueType, name: str) -> Topic:
    """Something was put into a queue."""
    return ("queue", project, kind, name)


def step_dropped(uid: int, step_id: str) -> Topic:
    """Nobody needs the result of a step any more, though its run goes on."""
    return ("step", uid, step_id)


TIMERS: Topic = "timers"
"""A timer was set that may be due before all others."""

GARBAGE: Topic = "garbage"
"""A run was removed whose records are still to go."""
