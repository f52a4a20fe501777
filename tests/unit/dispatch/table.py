"""A durable table of entries as the board sees it, and workers without streams."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hookd.v1.worker_service_pb2 import QueueKind
from hookd_daemon.core.queues import STEP, WORKFLOW, Entry
from hookd_daemon.dispatch.board import Board
from hookd_daemon.dispatch.leases import Leases
from hookd_daemon.dispatch.sessions import Offer, Session
from hookd_daemon.dispatch.work import State, Work, key_of

#: How much is read at a time.
PORTION = 8

_numbers = itertools.count(1)


class Silent:
    """A subscription that wakes nobody and remembers what it listens to."""

    def __init__(self) -> None:
        self.listening: set[object] = set()
        self.nudged = False

    def nudge(self) -> None:
        self.nudged = True

    def listen(self, topic: object) -> None:
        assert topic not in self.listening
        self.listening.add(topic)

    def ignore(self, topic: object) -> None:
        self.listening.remove(topic)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not to be used here")


class Table:
    """The entries that are in the queues, with a board that hands them out.

    Attributes:
        entries: what is in the queues, by number.
        board: the board.
        leases: its leases; they last for an hour.
    """

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.news = Silent()
        self.board = Board(self.news, lambda session: None)  # type: ignore[arg-type]
        self.leases = Leases(self.board, 3600, self._lost, self._silent)

    def _lost(self, work: Work) -> None:
        raise AssertionError(f"the lease of {work.entry} lapsed")

    def _silent(self, session: Session) -> None:
        raise AssertionError(f"{session.worker_id} was silent")

    def put(
        self,
        name: str = "flow",
        kind: QueueKind.ValueType = WORKFLOW,
        version: str = "",
        like: Entry | None = None,
    ) -> Entry:
        """Puts something into a queue, and says so; the same work as ``like``, again."""
        number = next(_numbers)
        step_id = f"step-{number}" if kind == STEP else ""
        entry = Entry("p", kind, name, number, f"run-{number}", number, step_id, 0, version)
        if like is not None:
            entry = replace(like, number=number)
        self.entries[number] = entry
        queue = self.board.queues.get(("p", kind, name))
        if queue is not None:
            queue.more = True
            self.board.look_at(queue)
        return entry

    def read(self) -> int:
        """Reads on where the board wants to; returns how much was read."""
        count = 0
        while self.board.hungry:
            queue = next(iter(self.board.hungry))
            del self.board.hungry[queue]
            found = [
                entry
                for number, entry in sorted(self.entries.items())
                if number > queue.cursor and (entry.project, entry.kind, entry.name) == queue.key
            ][:PORTION]
            queue.read(found, PORTION)
            for entry in found:
                self.board.arrived(entry)
            self.board.look_at(queue)
            count += len(found)
        return count

    def join(
        self,
        worker_id: str = "",
        workflows: dict[str, str] | None = None,
        steps: Iterable[str] = (),
        max_turns: int = 1,
        max_steps: int = 1,
    ) -> Session:
        """A worker connects."""
        offer = Offer(
            project="p",
            worker_id=worker_id or f"worker-{next(_numbers)}",
            name="",
            workflows={"flow": "v1"} if workflows is None else workflows,
            steps=frozenset(steps),
            max_turns=max_turns,
            max_steps=max_steps,
        )
        session = Session(offer, Silent())  # type: ignore[arg-type]
        self.board.join(session)
        return session

    def lease(self, session: Session) -> list[Work]:
        """Leases what was picked for a session."""
        works = []
        while session.picks:
            work = session.picks.popleft()
            if work.state is State.PICKED:
                self.leases.granted(work, attempt=1)
                works.append(work)
        return works

    def finish(self, work: Work) -> None:
        """Something is done, and leaves its queue."""
        del self.entries[work.entry.number]
        self.board.finish(work)

    def check(self) -> None:
        """Holds the board against itself: nothing is lost, nothing waits without need."""
        board = self.board
        waiting: Counter[object] = Counter()
        topics = set(board.topics)
        for key, work in board.works.items():
            assert key == work.key == key_of(work.entry)
            assert work.state is not State.GONE
            if work.state is State.WAITING:
                waiting[work.entry.project, work.entry.kind, work.entry.name] += 1
                assert work.session is None
            elif work.session is not None:
                assert work in work.session.holds
                assert work.session in board.sessions.values()
            if work.state is State.PICKED:
                # Nothing is being leased: that is done at once here.
                assert work.session is not None
                assert work in work.session.picks
            if work.entry.kind == STEP and work.state in (State.PICKED, State.LEASED):
                uid = work.entry.run_uid
                topics |= {("ended", uid), ("step", uid, work.entry.step_id)}
        assert self.news.listening == topics
        for queue_key, queue in board.queues.items():
            assert queue.waiting == waiting[queue_key]
            for entry in self.entries.values():
                if (entry.project, entry.kind, entry.name) == queue_key:
                    known = key_of(entry) in board.works or key_of(entry) in board._reserved
                    assert known or (queue.more and entry.number > queue.cursor), entry
        for session in board.sessions.values():
            held = Counter(work.entry.kind for work in session.holds)
            for kind in (WORKFLOW, STEP):
                assert session.used[kind] == held[kind]
            for queue_key, version in session.queues():
                self._check_rest(session, queue_key, version)

    def _check_rest(self, session: Session, queue_key: Any, version: str) -> None:
        """A session with room leaves nothing behind that it may take."""
        queue = self.board.queues[queue_key]
        if session.room(queue.kind) <= 0:
            return
        assert not queue.more or queue in self.board.hungry
        here = set(queue.sessions.values())
        for lane in queue.lanes.values():
            for work in lane.works:
                if work.state is State.WAITING:
                    # It is for others: for those with its version, or soon.
                    assert work.entry.version not in ("", version)
                    assert work.entry.version in here or lane.alarmed
