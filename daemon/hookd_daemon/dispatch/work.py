"""Entries of the queues as they are here, and what is handed to workers."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from hookd.v1.worker_service_pb2 import QueueKind

from hookd_daemon.core.queues import Entry
from hookd_daemon.core.steps import LeasedStep
from hookd_daemon.core.turns import LeasedTurn

if TYPE_CHECKING:
    from hookd_daemon.dispatch.sessions import Session

#: Names work for as long as it is known: project, run, and step; the step is
#: empty for a turn.
Key = tuple[str, str, str]
#: Names a queue: its project, its kind and its name.
QueueKey = tuple[str, QueueKind.ValueType, str]


def key_of(entry: Entry) -> Key:
    """The key of the work that an entry stands for."""
    return (entry.project, entry.run_id, entry.step_id)


def queue_of(entry: Entry) -> QueueKey:
    """The queue that an entry stands in."""
    return (entry.project, entry.kind, entry.name)


class State(Enum):
    """Where a piece of work stands.

    Attributes:
        WAITING: in a lane, for a session with room.
        PICKED: a session was chosen, and the lease is not durable yet.
        LEASED: a worker is at it.
        PARKED: it waits for a time.
        GONE: it is nobody's business here any more.
    """

    WAITING = 1
    PICKED = 2
    LEASED = 3
    PARKED = 4
    GONE = 5


class Work:
    """A turn to take, or a step to execute.

    Attributes:
        entry: its entry.
        key: names it.
        state: where it stands.
        worker_id: whose it is, while it is picked or leased.
        session: the session of that worker; None while the worker is away.
        attempt: of a step that is leased, the attempt.
        after_seq: of a turn that is picked, what its worker has seen.
        given_with: the report whose answer handed it out; None for the others.
        deadline: when the lease lapses, by the clock of the event loop.
        alarm: goes off when it is time to look at it again.
    """

    __slots__ = (
        "after_seq",
        "alarm",
        "attempt",
        "deadline",
        "entry",
        "given_with",
        "key",
        "session",
        "state",
        "worker_id",
    )

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.key = key_of(entry)
        self.state = State.WAITING
        self.worker_id = ""
        self.session: Session | None = None
        self.attempt = 0
        self.after_seq = 0
        self.given_with: Hashable = None
        self.deadline = 0.0
        self.alarm: asyncio.TimerHandle | None = None

    def is_leased_to(self, worker_id: str) -> bool:
        """Whether this worker is at it."""
        return self.state is State.LEASED and self.worker_id == worker_id

    def silence(self) -> None:
        """Turns the alarm off."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Work that a worker is told to do.

    Attributes:
        work: the work.
        leased: what the worker needs to know.
    """

    work: Work
    leased: LeasedTurn | LeasedStep


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nobody needs the result of an attempt any more.

    Attributes:
        run_id: the run.
        step_id: the step.
        attempt: the attempt.
    """

    run_id: str
    step_id: str
    attempt: int


Item = Grant | Dropped
