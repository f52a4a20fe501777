"""Leases: for how long a worker may be silent about what it is at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from hookd_daemon.core.queues import Entry
from hookd_daemon.dispatch.board import Board
from hookd_daemon.dispatch.sessions import Session
from hookd_daemon.dispatch.work import State, Work, key_of
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

#: A worker whose stream has ended has so long to come back to its steps.
GRACE_S = 2.0


class Leases:
    """Begins and ends leases, and notices those that lapse.

    Args:
        board: what is handed out.
        ttl_s: how long a lease lasts without a heartbeat.
        on_lapse: told of a step whose lease has lapsed.
        on_silence: told of a session whose worker has not said anything at all
            for as long as a lease lasts.
    """

    def __init__(
        self,
        board: Board,
        ttl_s: float,
        on_lapse: Callable[[Work], None],
        on_silence: Callable[[Session], None],
    ) -> None:
        self._board = board
        self._ttl_s = ttl_s
        self._on_lapse = on_lapse
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()

    def granted(self, work: Work, attempt: int = 0) -> None:
        """What was picked for a session is leased to its worker now."""
        work.attempt = attempt
        self._board.holding.begin(work)
        self._extend(work)

    def give(
        self, entry: Entry, worker_id: str, *, attempt: int = 0, given_with: Hashable = None
    ) -> None:
        """Leases work to a worker that knows of it already, whoever had it before."""
        board = self._board
        work = board.works.get(key_of(entry))
        if work is not None and work.is_leased_to(worker_id):
            # It stays: ending it would give its place to something else.
            work.entry = entry
        else:
            if work is not None:
                board.supersede(work)
            work = board.works[key_of(entry)] = Work(entry)
            work.worker_id = worker_id
            session = board.session(entry.project, worker_id)
            if session is not None:
                session.take(work)
            board.holding.begin(work)
        work.attempt = attempt
        work.given_with = given_with
        self._extend(work)

    def renew(self, work: Work) -> None:
        """The worker says that it is at it."""
        session = self._board.session(work.entry.project, work.worker_id)
        if work.session is None and session is not None:
            session.take(work)
        work.deadline = self._loop.time() + self._ttl_s

    def shorten(self, work: Work) -> None:
        """The worker is gone, and perhaps comes back."""
        work.deadline = min(work.deadline, self._loop.time() + GRACE_S)
        self._arm(work)

    def park(self, work: Work, delay_s: float) -> None:
        """Offers work again after some time."""
        board = self._board
        board.finish(work)
        parked = Work(work.entry)
        parked.state = State.PARKED
        board.works[parked.key] = parked
        parked.alarm = self._loop.call_later(max(delay_s, 0.001), board.put_back, parked)

    def _extend(self, work: Work) -> None:
        work.deadline = self._loop.time() + self._ttl_s
        self._arm(work)

    def _arm(self, work: Work) -> None:
        work.silence()
        work.alarm = self._loop.call_at(work.deadline, self._ring, work)

    def _ring(self, work: Work) -> None:
        work.alarm = None
        if work.state is not State.LEASED:
            return
        if work.deadline > self._loop.time():
            # It was extended: that moves no alarm, for most leases end in time.
            self._arm(work)
            return
        entry = work.entry
        log.warning(
            "lease lapsed",
            project=entry.project,
            run_id=entry.run_id,
            worker_id=work.worker_id,
            **({"step": entry.name, "step_id": entry.step_id} if entry.step_id else {}),
        )
        session = work.session
        if not entry.step_id:
            # Having the run in memory helps nobody if the worker is not heard of.
            self._board.affinity.forget(entry.project, entry.run_id)
        if session is not None and session.heard_s + self._ttl_s <= self._loop.time():
            # It would be handed the same again, and others would wait in vain.
            self._on_silence(session)
        if not entry.step_id:
            self._board.put_back(work)
        elif work.state is State.LEASED:
            self._board.finish(work)
            self._on_lapse(work)


def worker_of(session: Session) -> dict[str, str]:
    """Who a worker is, for logs."""
    offer = session.offer
    return {"project": offer.project, "worker_id": offer.worker_id, "worker": offer.name}
