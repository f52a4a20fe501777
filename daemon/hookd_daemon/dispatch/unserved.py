"""Fails runs that wait for a workflow or a step that no worker serves, if so configured."""

from __future__ import annotations

import asyncio

from hookd_daemon.api.backend import Backend
from hookd_daemon.core.queues import read_queue, read_queue_names
from hookd_daemon.core.unserved import fail_unserved
from hookd_daemon.dispatch.board import Board
from hookd_daemon.dispatch.work import Key, QueueKey, State, key_of
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

#: How many runs are failed at a time.
RUNS_AT_ONCE = 64
#: Between two looks, in seconds.
SHORTEST_LOOK_S = 0.1
LONGEST_LOOK_S = 30.0


class Unserved:
    """The task that looks for such runs.

    Args:
        board: who is connected.
        backend: the store and the time.
        after_s: how long nobody must have served them, in seconds.
    """

    def __init__(self, board: Board, backend: Backend, after_s: float) -> None:
        self._board = board
        self._backend = backend
        self._after_s = after_s
        #: Since when nobody serves a queue, by the clock of the event loop.
        self._since: dict[QueueKey, float] = {}

    async def run(self) -> None:
        """Looks again and again until the store closes."""
        pause_s = min(max(self._after_s / 10, SHORTEST_LOOK_S), LONGEST_LOOK_S)
        try:
            with self._backend.store.subscribe() as news:
                while True:
                    await news.wait(pause_s)
                    await self._look()
        except StoreUnavailableError:
            return

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        names = await self._backend.store.transact(read_queue_names, None)
        since = {key: self._since.get(key, now) for key in names if key not in self._board.queues}
        self._since = since
        for key, begin in since.items():
            if begin + self._after_s <= now:
                try:
                    await self._fail(key)
                except StoreUnavailableError:
                    raise
                except Exception:
                    log.exception("runs that nobody serves could not be failed", queue=key[2])

    async def _fail(self, key: QueueKey) -> None:
        """Fails what waits in a queue for long enough."""
        backend, after = self._backend, 0
        until_ms = backend.clock.now_ms() - round(self._after_s * 1000)
        while True:
            entries = await backend.store.transact(read_queue, *key, after, RUNS_AT_ONCE)
            due = [entry for entry in entries if entry.since_ms <= until_ms]
            # A worker may be at it without a connection for the moment.
            free = [entry for entry in due if not self._is_leased(key_of(entry))]
            failed = await asyncio.gather(
                *[backend.run(fail_unserved, None, key[0], entry) for entry in free]
            )
            for entry, was_failed in zip(free, failed, strict=True):
                if was_failed:
                    log.warning(
                        "run failed: no worker serves it",
                        project=key[0],
                        run_id=entry.run_id,
                        name=entry.name,
                    )
            if len(due) < RUNS_AT_ONCE:
                return
            after = due[-1].number
            await asyncio.sleep(0)

    def _is_leased(self, key: Key) -> bool:
        work = self._board.works.get(key)
        return work is not None and work.state is State.LEASED
