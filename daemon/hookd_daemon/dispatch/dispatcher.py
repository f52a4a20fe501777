"""The task that reads the queues, makes leases durable, and ends those that lapse."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hookd_daemon.api.backend import Backend
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import Entry, read_queue
from hookd_daemon.core.steps import LeasedStep, Parked, lease_step, lose_step
from hookd_daemon.core.turns import LeasedTurn, lease_turn
from hookd_daemon.dispatch.board import Board
from hookd_daemon.dispatch.leases import Leases, worker_of
from hookd_daemon.dispatch.queues import Queue
from hookd_daemon.dispatch.sessions import Offer, Session
from hookd_daemon.dispatch.work import Grant, QueueKey, State, Work
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.logs import get_logger
from hookd_daemon.store.tx import Tx

log = get_logger(__name__)

#: How much of a queue is read at a time, and of how many queues.
ENTRIES_AT_ONCE = 256
QUEUES_AT_ONCE = 32
#: How much is leased, and how many leases end, in one commit.
LEASES_AT_ONCE = 16
LAPSES_AT_ONCE = 256
#: What cannot be read or leased is tried again after so long.
POSTPONE_S = 60.0
#: So many names of a worker's workflows are logged.
NAMES_SHOWN = 20

_Wanted = tuple[Entry, int]
_Result = LeasedTurn | LeasedStep | Parked | None


class Dispatcher:
    """Hands work out to the workers that are connected.

    Args:
        backend: the store and the time.
        lease_s: how long a lease lasts without a heartbeat.

    Attributes:
        board: what waits, and who has what.
        leases: for how long.
        lease_s: how long a lease lasts without a heartbeat.
    """

    def __init__(self, backend: Backend, lease_s: float) -> None:
        self.lease_s = lease_s
        self._backend = backend
        self._news = backend.store.subscribe()
        self.board = Board(self._news, self._begin_leasing)
        self.leases = Leases(self.board, lease_s, self._lapsed_step, self._end)
        self._lapsed: deque[Work] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Reads queues and ends leases until the store closes."""
        try:
            with self._news:
                while True:
                    await self._news.wait(None)
                    await self._look()
        except StoreUnavailableError:
            self.board.close()
        await asyncio.gather(*self._tasks)

    async def _look(self) -> None:
        try:
            self._take_news()
            await self._lose()
            await self._read()
        except StoreUnavailableError:
            raise
        except Exception:
            # Nobody else would hand out any more until the next restart.
            log.exception("dispatching failed; going on")

    @contextmanager
    def session(self, offer: Offer) -> Iterator[Session]:
        """A worker is connected."""
        with self._backend.store.subscribe() as news:
            session = Session(offer, news)
            log.info(
                "worker connected",
                **worker_of(session),
                workflows=sorted(offer.workflows)[:NAMES_SHOWN],
                steps=len(offer.steps),
                max_turns=offer.max_turns,
                max_steps=offer.max_steps,
            )
            self.board.join(session)
            try:
                yield session
            except StoreUnavailableError:
                self.board.close()
                raise
            finally:
                self._part(session)
                log.info("worker gone", **worker_of(session), ended=session.over)

    def _part(self, session: Session) -> None:
        for work in self.board.leave(session):
            self.leases.shorten(work)

    def _end(self, session: Session) -> None:
        """Ends the stream of a worker that does not answer; if it is there, it comes back."""
        log.warning("worker silent, its stream is ended", **worker_of(session))
        self._part(session)
        session.end()

    def _take_news(self) -> None:
        board = self.board
        for topic in self._news.named():
            queue = board.topics.get(topic)
            if queue is not None:
                queue.more = True
                board.look_at(queue)
            else:
                for work in board.holding.not_needed(topic):
                    board.supersede(work)

    # Reading

    async def _read(self) -> None:
        """Reads on in the queues where somebody waits for it."""
        board = self.board
        while board.hungry:
            queues = list(board.hungry)[:QUEUES_AT_ONCE]
            for queue in queues:
                del board.hungry[queue]
            await self._read_some(queues)
            self._take_news()
            await asyncio.sleep(0)

    async def _read_some(self, queues: Sequence[Queue]) -> None:
        wanted = [(queue.key, queue.cursor) for queue in queues]
        try:
            found = await self._backend.store.transact(_read_queues, wanted)
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("queues could not be read", queues=[queue.key[2] for queue in queues])
            if len(queues) > 1:
                for queue in queues:
                    await self._read_some([queue])
            else:
                asyncio.get_running_loop().call_later(POSTPONE_S, self.board.look_at, queues[0])
            return
        for queue, entries in zip(queues, found, strict=True):
            if self.board.queues.get(queue.key) is not queue:
                continue  # nobody serves it any more
            queue.read(entries, ENTRIES_AT_ONCE)
            for entry in entries:
                self.board.arrived(entry)
            self.board.look_at(queue)

    # Leasing

    def _begin_leasing(self, session: Session) -> None:
        if not session.leasing:
            session.leasing = True
            task = asyncio.get_running_loop().create_task(self._lease_picks(session))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _lease_picks(self, session: Session) -> None:
        """Leases what was picked for a session, until there is no more."""
        try:
            while session.picks:
                count = min(len(session.picks), LEASES_AT_ONCE)
                works = [session.picks.popleft() for _ in range(count)]
                works = [work for work in works if work.state is State.PICKED]
                await self._lease(session.offer.project, works)
        except StoreUnavailableError:
            self.board.close()
        except Exception:
            log.exception("leasing failed", **worker_of(session))
        finally:
            session.leasing = False

    async def _lease(self, project: str, works: Sequence[Work]) -> None:
        wanted = [(work.entry, work.after_seq) for work in works]
        ttl_ms = round(self.lease_s * 1000)
        try:
            results = await self._backend.run(_lease_all, None, project, wanted, ttl_ms)
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("work could not be leased", run_ids=[w.entry.run_id for w in works])
            for work in works:
                if len(works) > 1:
                    await self._lease(project, [work])
                elif work.state is State.PICKED:
                    self.leases.park(work, POSTPONE_S)
            return
        for work, result in zip(works, results, strict=True):
            # Meanwhile it may have become nobody's business.
            if work.state is State.PICKED:
                self._hand_out(work, result)

    def _hand_out(self, work: Work, result: _Result) -> None:
        session = work.session
        if result is None:
            self.board.finish(work)
        elif isinstance(result, Parked):
            left_ms = result.until_ms - self._backend.clock.now_ms()
            self.leases.park(work, left_ms / 1000)
        elif session is None:
            self.board.put_back(work)
        else:
            attempt = result.record.attempt if isinstance(result, LeasedStep) else 0
            self.leases.granted(work, attempt)
            session.send(Grant(work, result))

    # Lapsing

    def _lapsed_step(self, work: Work) -> None:
        self._lapsed.append(work)
        self._news.nudge()

    async def _lose(self) -> None:
        """Notes that workers were lost, and offers their steps to others."""
        while self._lapsed:
            count = min(len(self._lapsed), LAPSES_AT_ONCE)
            # Unless the worker came back meanwhile.
            works = [self._lapsed.popleft() for _ in range(count)]
            works = [work for work in works if work.key not in self.board.works]
            with self.board.reserve([work.key for work in works]):
                await asyncio.gather(*[self._lose_one(work) for work in works])
                for work in works:
                    self.board.arrived(work.entry, again=True)

    async def _lose_one(self, work: Work) -> None:
        entry = work.entry
        try:
            await self._backend.run(
                lose_step, None, entry.project, entry.run_id, entry.step_id, work.attempt
            )
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("a lost worker could not be noted", run_id=entry.run_id)


async def _read_queues(tx: Tx, wanted: Sequence[tuple[QueueKey, int]]) -> list[list[Entry]]:
    return [await read_queue(tx, *queue, after, ENTRIES_AT_ONCE) for queue, after in wanted]


async def _lease_all(
    tx: Tx, moment: Moment, project: str, wanted: Sequence[_Wanted], ttl_ms: int
) -> list[_Result]:
    return [
        await lease_step(tx, moment, project, entry, ttl_ms)
        if entry.step_id
        else await lease_turn(tx, moment, project, entry, after_seq)
        for entry, after_seq in wanted
    ]
