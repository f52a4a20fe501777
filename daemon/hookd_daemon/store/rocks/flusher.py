"""Makes commits durable, many with one flush.

While one flush runs, the next group gathers; no timer is involved. A commit
is durable after the first flush that began after its write.

A flush that comes back costs the event loop more than a commit does: a wake-up
and two changes of the thread that runs Python. So a group is given time to
grow as long as it does grow: its flush begins when the loop has made some turns
in which no commit came. How many turns depends on how many shared the flush
before: a caller that is alone does not wait for others.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from hookd_daemon.errors import StoreUnavailableError

Group = list["asyncio.Future[None]"]

#: A group is complete when it has not grown for so many turns of the loop per
#: commit of the group before, and at most so many in all.
QUIET_TURNS_PER_COMMIT = 4
MOST_QUIET_TURNS = 32
#: A group is flushed after so many turns, however fast it grows.
MOST_TURNS = 256


class Flusher:
    """Runs ``flush`` in a thread of its own for groups of commits.

    Args:
        flush: makes everything written so far durable; blocks; raises when it fails.
        on_flush: told of each flush: how many commits waited, and the seconds it took.
        on_failure: told of the failure of a flush. What is in memory is ahead
            of the disk then, and nothing may be answered any more.
    """

    def __init__(
        self,
        flush: Callable[[], None],
        on_flush: Callable[[int, float], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._flush = flush
        self._on_flush = on_flush
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._gathering: Group = []
        self._before = 1  # how many shared the flush before
        self._busy = False
        self._failed = False
        self._groups: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="hookd-flush", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """True when everything that was written is durable."""
        return not self._busy

    def durable(self) -> asyncio.Future[None]:
        """A future that is done when everything written up to now is durable.

        Raises (through the future):
            StoreUnavailableError: the flush failed.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if self._failed:
            future.set_exception(StoreUnavailableError("the store cannot be written"))
            return future
        self._gathering.append(future)
        if not self._busy:
            self._busy = True
            self._gather(0, 0, 0)
        return future

    def _gather(self, size: int, quiet: int, turns: int) -> None:
        """Looks once in each turn of the loop whether the group still grows.

        Args:
            size: how large it was in the turn before.
            quiet: for how many turns it has not grown.
            turns: for how many turns it could.
        """
        now = len(self._gathering)
        quiet = quiet + 1 if now == size else 0
        enough = min(QUIET_TURNS_PER_COMMIT * self._before, MOST_QUIET_TURNS)
        if quiet >= enough or turns >= MOST_TURNS:
            self._begin()
        else:
            self._loop.call_soon(self._gather, now, quiet, turns + 1)

    def _begin(self) -> None:
        group, self._gathering = self._gathering, []
        self._before = len(group)
        self._groups.put(group)

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            begin = time.perf_counter()
            failure: BaseException | None = None
            try:
                self._flush()
            except BaseException as error:  # noqa: BLE001 - whatever it is, nothing is durable
                failure = error
            seconds = time.perf_counter() - begin
            try:
                self._loop.call_soon_threadsafe(self._done, group, seconds, failure)
            except RuntimeError:
                return  # the loop is closed; nobody waits any more

    def _done(self, group: Group, seconds: float, failure: BaseException | None) -> None:
        if failure is not None:
            self._fail(group, failure)
            return
        for future in group:
            if not future.done():
                future.set_result(None)
        if self._gathering:
            self._gather(0, 0, 0)
        else:
            self._busy = False
        self._on_flush(len(group), seconds)

    def _fail(self, group: Group, failure: BaseException) -> None:
        self._failed = True
        waiting, self._gathering = group + self._gathering, []
        for future in waiting:
            if not future.done():
                future.set_exception(StoreUnavailableError("the store cannot be written"))
        self._on_failure(failure)

    def stop(self) -> None:
        """Ends the thread after the flushes that were asked for."""
        if self._gathering:
            self._begin()
        self._groups.put(None)
        self._thread.join()
