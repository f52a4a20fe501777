"""Matches work with workers, in memory and at once.

Work goes to whoever has room as soon as both are there: when work comes, to a
session that is idle; when a session has room again, from the lanes in turn that
it was blocked from. Neither looks further than at what it gives or gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from hookd.v1.worker_service_pb2 import QueueKind

from hookd_daemon.core.queues import STEP, WORKFLOW, Entry
from hookd_daemon.dispatch.affinity import Affinity
from hookd_daemon.dispatch.holding import Holding
from hookd_daemon.dispatch.queues import MOST_WAITING, Lane, Queue
from hookd_daemon.dispatch.sessions import Session
from hookd_daemon.dispatch.versions import Versions
from hookd_daemon.dispatch.work import Dropped, Key, QueueKey, State, Work, key_of, queue_of
from hookd_daemon.store.tx import Subscription, Topic


class _Reserved:
    """Work that nobody is given for the moment; ``entry`` is offered after that."""

    __slots__ = ("count", "entry")

    def __init__(self) -> None:
        self.count = 0
        self.entry: Entry | None = None


class Board:
    """What waits, who is there, and who has what.

    Args:
        news: listens to what is put into queues, and to what is not needed.
        on_pick: told of a session for which something was picked.

    Attributes:
        sessions: the workers that are connected, by project and id.
        queues: the queues that they serve.
        topics: the same queues, by what is named when something is put in.
        works: the work that is known, by its key.
        hungry: the queues that are to be read on.
        affinity: who has which run in memory.
        holding: who is at what.
    """

    def __init__(self, news: Subscription, on_pick: Callable[[Session], None]) -> None:
        self.sessions: dict[tuple[str, str], Session] = {}
        self.queues: dict[QueueKey, Queue] = {}
        self.topics: dict[Topic, Queue] = {}
        self.works: dict[Key, Work] = {}
        self.hungry: dict[Queue, None] = {}
        self.affinity = Affinity()
        self.holding = Holding(news)
        self._versions = Versions(asyncio.get_running_loop().time)
        self._reserved: dict[Key, _Reserved] = {}
        self._news = news
        self._on_pick = on_pick
        self._closed = False

    def close(self) -> None:
        """The daemon is going down: nothing is handed out any more."""
        self._closed = True

    # Sessions

    def session(self, project: str, worker_id: str) -> Session | None:
        """The session of a worker; None when it is not connected."""
        return self.sessions.get((project, worker_id))

    def heard(self, project: str, worker_id: str) -> Session | None:
        """The same, for a worker that has just said something."""
        session = self.session(project, worker_id)
        if session is not None:
            session.hear()
        return session

    def join(self, session: Session) -> None:
        """A worker is there, perhaps again: then it keeps what it has."""
        key = (session.offer.project, session.worker_id)
        earlier = self.sessions.get(key)
        self.sessions[key] = session
        if earlier is not None:
            earlier.replace(session)
        for queue_key, version in session.queues():
            queue = self.queues.get(queue_key)
            if queue is None:
                queue = self.queues[queue_key] = Queue(queue_key)
                self.topics[queue.topic] = queue
                self._news.listen(queue.topic)
            queue.sessions[session] = version
            if queue.kind == WORKFLOW:
                self._versions.came(queue_key, version)
            for lane in list(queue.lanes.values()):
                if lane.version:
                    self._reset(lane)
                else:
                    lane.idle[session] = None
                    self._offer(lane)
            self.look_at(queue)
        if earlier is not None:
            # Not before: the queues that both serve need not be read anew.
            self._withdraw(earlier)
        if session.picks:
            self._on_pick(session)

    def settle(self, session: Session) -> None:
        """It is known which of the steps that a worker said to execute it has."""
        session.promised[STEP] -= session.offer.held_steps
        self.fill(session, STEP)

    def leave(self, session: Session) -> list[Work]:
        """A worker is gone, unless it has opened another session.

        Its turns go to others at once.

        Returns:
            The steps that it leases.
        """
        key = (session.offer.project, session.worker_id)
        if self.sessions.get(key) is not session:
            return []
        del self.sessions[key]
        self._withdraw(session)
        picked = set(session.picks)
        session.picks.clear()
        executing: list[Work] = []
        for work in sorted(session.holds, key=_by_number, reverse=True):
            session.give_back(work)
            if work.state is State.LEASED and work.entry.step_id:
                executing.append(work)
            elif work.state is State.LEASED or work in picked:
                self.put_back(work)
            # What is just being leased is looked at when that is done.
        return executing

    def _withdraw(self, session: Session) -> None:
        """Offers a session nothing more."""
        for blocked in session.blocked.values():
            blocked.clear()
        for queue_key, version in session.queues():
            queue = self.queues[queue_key]
            del queue.sessions[session]
            if queue.kind == WORKFLOW:
                self._versions.went(queue_key, version)
            if not queue.sessions:
                self._forget(queue)
                continue
            for lane in list(queue.lanes.values()):
                lane.idle.pop(session, None)
                if lane.version and not lane.works:
                    lane.reset([])
                    del queue.lanes[lane.version]
                elif lane.version:
                    self._reset(lane)

    def _forget(self, queue: Queue) -> None:
        """Nobody serves the queue: it is read anew when somebody does."""
        del self.queues[queue.key]
        self.hungry.pop(queue, None)
        del self.topics[queue.topic]
        self._news.ignore(queue.topic)
        for lane in queue.lanes.values():
            for work in lane.works:
                if work.state is State.WAITING:
                    work.state = State.GONE
                    del self.works[work.key]

    # Work

    def arrived(self, entry: Entry, *, again: bool = False) -> None:
        """An entry was read, or is to be offered ``again``: before all others."""
        reserved = self._reserved.get(key_of(entry))
        if reserved is not None:
            reserved.entry = entry
            return
        known = self.works.get(key_of(entry))
        if known is not None:
            if known.entry.number >= entry.number:
                return
            self.supersede(known)
        queue = self.queues.get(queue_of(entry))
        if queue is not None:
            self._wait(queue, Work(entry), first=again)

    def put_back(self, work: Work) -> None:
        """Offers work again, before all others of its queue; nothing that is gone."""
        if work.state is State.GONE:
            return
        session = self._remove(work)
        self.arrived(work.entry, again=True)
        if session is not None:
            self.fill(session, work.entry.kind)

    def finish(self, work: Work) -> None:
        """Forgets work: it is done, or there is nothing to do."""
        session = None if work.state is State.GONE else self._remove(work)
        if session is not None:
            self.fill(session, work.entry.kind)

    def _remove(self, work: Work) -> Session | None:
        """Removes work from wherever it is; returns the session that has more room now."""
        state, session = work.state, work.session
        work.silence()
        self.holding.end(work)
        work.state = State.GONE
        del self.works[work.key]
        if state is State.WAITING:
            self.queues[queue_of(work.entry)].waiting -= 1
        if session is not None:
            session.give_back(work)
        return session

    def supersede(self, work: Work) -> None:
        """Forgets work that nobody needs any more, and tells the worker that executes it."""
        session = work.session if work.state is State.LEASED else None
        self.finish(work)
        if session is not None and work.entry.step_id:
            session.send(Dropped(work.entry.run_id, work.entry.step_id, work.attempt))

    def _wait(self, queue: Queue, work: Work, *, first: bool) -> None:
        self.works[work.key] = work
        queue.waiting += 1
        version = work.entry.version
        lane = queue.lanes.get(version)
        if lane is None:
            lane = queue.lanes[version] = Lane(queue, version)
            self._reset(lane)
        if first:
            lane.works.appendleft(work)
        else:
            lane.works.append(work)
        self._offer(lane)

    @contextmanager
    def reserve(self, keys: Iterable[Key]) -> Iterator[None]:
        """Hands some work to nobody in the meantime, whatever is read of it.

        A commit may change who is at it, and it takes a while until that is
        known here.
        """
        reserved = list(keys)
        for key in reserved:
            state = self._reserved.setdefault(key, _Reserved())
            state.count += 1
            work = self.works.get(key)
            if work is not None and work.state in (State.WAITING, State.PARKED):
                self.finish(work)
                state.entry = work.entry
        try:
            yield
        finally:
            for key in reserved:
                state = self._reserved[key]
                state.count -= 1
                if not state.count:
                    del self._reserved[key]
                    if state.entry is not None:
                        self.arrived(state.entry, again=True)

    @contextmanager
    def promise(
        self, session: Session | None, kind: QueueKind.ValueType, count: int
    ) -> Iterator[None]:
        """Keeps room of a session free in the meantime."""
        if session is None or not count:
            yield
            return
        session.promised[kind] += count
        try:
            yield
        finally:
            session.promised[kind] -= count
            self.fill(session, kind)

    def is_free(self, key: Key) -> bool:
        """Whether nobody has this work, or is about to get it."""
        work = self.works.get(key)
        at_it = work is not None and work.state in (State.PICKED, State.LEASED)
        return not at_it and key not in self._reserved

    # Matching

    def look_at(self, queue: Queue) -> None:
        """Has a queue read on, if that is worth it."""
        if queue.is_hungry and queue not in self.hungry:
            self.hungry[queue] = None
            self._news.nudge()

    def fill(self, session: Session, kind: QueueKind.ValueType) -> None:
        """Picks work for a session as long as it has room, from its lanes in turn."""
        if self._closed:
            return
        blocked = session.blocked[kind]
        while blocked and session.room(kind) > 0:
            lane = next(iter(blocked))
            del blocked[lane]
            work = lane.first()
            if work is None:
                lane.idle[session] = None
                self.look_at(lane.queue)
                continue
            blocked[lane] = None
            lane.works.popleft()
            self._pick(lane.queue, work, session)

    def _offer(self, lane: Lane) -> None:
        """Picks sessions for the work of a lane as long as there are some with room."""
        if self._closed:
            return
        while (work := lane.first()) is not None:
            session = self._best(lane, work) or lane.next_idle()
            if session is None:
                return
            lane.works.popleft()
            lane.took(session)
            self._pick(lane.queue, work, session)

    def _best(self, lane: Lane, work: Work) -> Session | None:
        """The session that has the run in memory, if it has room."""
        entry = work.entry
        warm = self.affinity.get(entry.project, entry.run_id) if not entry.step_id else None
        if warm is None:
            return None
        session = self.sessions.get((entry.project, warm.worker_id))
        if session is None or session not in lane.idle or session.room(entry.kind) <= 0:
            return None
        return session

    def _pick(self, queue: Queue, work: Work, session: Session) -> None:
        queue.waiting -= 1
        if queue.waiting == MOST_WAITING - 1:
            self.look_at(queue)
        entry = work.entry
        warm = self.affinity.get(entry.project, entry.run_id) if not entry.step_id else None
        is_warm = warm is not None and warm.worker_id == session.worker_id
        work.after_seq = warm.seen_seq if warm is not None and is_warm else 0
        work.state = State.PICKED
        work.worker_id = session.worker_id
        session.take(work)
        session.picks.append(work)
        if entry.kind == STEP:
            self.holding.listen(work)
        self._on_pick(session)

    def _reset(self, lane: Lane) -> None:
        """Finds out anew who may take from a lane."""
        queue = lane.queue
        kept_s = self._versions.kept_for(queue.key, lane.version)
        if kept_s is None:
            lane.reset(list(queue.sessions))
        elif kept_s == 0:
            lane.reset([s for s, version in queue.sessions.items() if version == lane.version])
        else:
            lane.reset([])
            if not lane.alarmed:
                lane.alarmed = True
                asyncio.get_running_loop().call_later(kept_s, self._look_again, lane)
        self._offer(lane)

    def _look_again(self, lane: Lane) -> None:
        lane.alarmed = False
        if self.queues.get(lane.queue.key) is lane.queue:
            self._reset(lane)


def _by_number(work: Work) -> int:
    return work.entry.number
