"""Queues as they are here: the part of them that was read, in lanes."""

from __future__ import annotations

from collections import deque

from hookd_daemon.core import topics
from hookd_daemon.core.queues import Entry
from hookd_daemon.dispatch.sessions import Session
from hookd_daemon.dispatch.work import QueueKey, State, Work

#: Of one queue, so much is kept in memory at most: what the sessions with room
#: must not take may stand in front of what they may take.
MOST_WAITING = 16_384


class Lane:
    """The work of a queue that the same sessions may take.

    A session that serves the lane is either ``idle``, or the lane is one of
    those that it is ``blocked`` from. It goes from the first to the second when
    it is looked at and found to be full, and back when it has room again and
    finds the lane empty. So nobody ever looks at all sessions, or at all lanes.

    Attributes:
        queue: its queue.
        version: the version of the code that has begun the runs; empty for
            runs that have not begun, and for steps.
        works: the work, in its order; may contain some that does not wait any
            more.
        idle: the sessions that have room, as far as is known; the first is
            next.
        alarmed: it will be looked at again at a certain time.
    """

    __slots__ = ("alarmed", "idle", "queue", "version", "works")

    def __init__(self, queue: Queue, version: str) -> None:
        self.queue = queue
        self.version = version
        self.works: deque[Work] = deque()
        self.idle: dict[Session, None] = {}
        self.alarmed = False

    def first(self) -> Work | None:
        """The work that is next; None when none waits."""
        works = self.works
        while works and works[0].state is not State.WAITING:
            works.popleft()
        return works[0] if works else None

    def next_idle(self) -> Session | None:
        """A session with room; those that have none are blocked from now on."""
        kind = self.queue.kind
        while self.idle:
            session = next(iter(self.idle))
            if session.room(kind) > 0:
                return session
            del self.idle[session]
            session.blocked[kind][self] = None
        return None

    def took(self, session: Session) -> None:
        """Puts a session behind the others: it was just given something."""
        del self.idle[session]
        self.idle[session] = None

    def reset(self, members: list[Session]) -> None:
        """Has other sessions take from here than before."""
        for session in self.queue.sessions:
            session.blocked[self.queue.kind].pop(self, None)
        self.idle = dict.fromkeys(members)


class Queue:
    """A queue that somebody serves.

    Attributes:
        key: names it.
        topic: is named when something is put into it.
        sessions: who serves it, with the versions of their code.
        lanes: its lanes, by version.
        cursor: the number up to which it was read.
        more: there may be something behind the cursor.
        waiting: how much of what was read waits.
    """

    __slots__ = (
        "cursor",
        "key",
        "kind",
        "lanes",
        "more",
        "sessions",
        "topic",
        "waiting",
    )

    def __init__(self, key: QueueKey) -> None:
        self.key = key
        self.kind = key[1]
        self.topic = topics.queue(*key)
        self.sessions: dict[Session, str] = {}
        self.lanes: dict[str, Lane] = {"": Lane(self, "")}
        self.cursor = 0
        self.more = True
        self.waiting = 0

    @property
    def is_hungry(self) -> bool:
        """Whether it is worth reading on: somebody has room, and there may be more."""
        return self.more and self.waiting < MOST_WAITING and self.lanes[""].next_idle() is not None

    def read(self, entries: list[Entry], limit: int) -> None:
        """Notes that it was read on, ``limit`` entries at most."""
        if entries:
            self.cursor = entries[-1].number
        self.more = len(entries) == limit
