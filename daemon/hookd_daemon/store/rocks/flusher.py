"""Makes commits durable, many with one flush.

While one flush runs, the next group gathers; no timer is involved. A commit
is durable after the first flush that began after its write.

A flush that comes back costs the event loop more than a commit does: a wake-up
and two changes of the thread that runs Python. So a group is given time to
grow as long as it does grow: its flush begins when the loop has made some turns
in which no commit came. How many turns depends on how many shared the flush
before: a caller that is alone does not wait for others.

A commit that is alone, on a disk that is quick, is flushed by the event loop
itself: to hand it to the thread and back takes longer than the disk does.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from hookd_daemon.errors import StoreUnavailableError

#: Told of a flush that is over: None, or why it failed.
Waiter = Callable[[Exception | None], None]
Group = list[Waiter]

#: A group is complete when it has not grown for so many turns of the loop: these
#: for a commit that was alone the last time, these more for each that was not,
#: and at most these in all. A small group costs more than these turns do.
QUIET_TURNS_ALONE = 2
QUIET_TURNS_PER_COMMIT = 8
MOST_QUIET_TURNS = 100
#: A group is flushed after so many turns, however fast it grows.
MOST_TURNS = 256

#: The event loop flushes a single commit itself while flushes take less, in
#: seconds. A slow one is remembered, and counts a little less with each flush.
QUICK_S = 0.001
FORGETTING = 0.9


class Flusher:
    """Runs ``flush`` in a thread of its own for groups of commits.

    Args:
        flush: makes everything written so far durable; blocks; raises when it fails.
        on_flush: told of each flush: how many commits waited, and the seconds it took.
        on_failure: told of the failure of a flush. What is in memory is ahead
            of the disk then, and nothing may be answered any more.

    Attributes:
        prepare: called right before a flush, to write what was held back for it.
    """

    def __init__(
        self,
        flush: Callable[[], None],
        on_flush: Callable[[int, float], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.prepare: Callable[[], None] = _nothing
        self._flush = flush
        self._on_flush = on_flush
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._gathering: Group = []
        self._joined = 0  # how many will share the next flush
        self._before = 1  # how many shared the flush before
        self._slowest = 1.0  # of the last flushes, in seconds
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

        def done(failure: Exception | None) -> None:
            if future.done():
                return
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)

        self.after(done)
        self.join()
        return future

    def after(self, waiter: Waiter) -> None:
        """Has a waiter told of the next flush that begins, if one was asked for.

        A failure is a StoreUnavailableError.
        """
        if self._failed:
            waiter(unavailable())
        else:
            self._gathering.append(waiter)

    def join(self) -> None:
        """Asks for a flush, for one more commit."""
        self._joined += 1
        if not self._busy and not self._failed:
            self._busy = True
            self._gather(0, 0, 0)

    def _gather(self, size: int, quiet: int, turns: int) -> None:
        """Looks once in each turn of the loop whether the group still grows.

        Args:
            size: how large it was in the turn before.
            quiet: for how many turns it has not grown.
            turns: for how many turns it could.
        """
        now = self._joined
        quiet = quiet + 1 if now == size else 0
        more = QUIET_TURNS_PER_COMMIT * (self._before - 1)
        enough = min(QUIET_TURNS_ALONE + more, MOST_QUIET_TURNS)
        if quiet >= enough or turns >= MOST_TURNS:
            self._begin()
        else:
            self._loop.call_soon(self._gather, now, quiet, turns + 1)

    def _begin(self) -> None:
        self.prepare()
        group, self._gathering = self._gathering, []
        self._before, self._joined = self._joined, 0
        if self._before == 1 and self._slowest < QUICK_S:
            self._done(group, *self._timed_flush())
        else:
            self._groups.put(group)

    def _timed_flush(self) -> tuple[float, BaseException | None]:
        begin = time.perf_counter()
        failure: BaseException | None = None
        try:
            self._flush()
        except BaseException as error:  # noqa: BLE001 - whatever it is, nothing is durable
            failure = error
        return time.perf_counter() - begin, failure

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            seconds, failure = self._timed_flush()
            try:
                self._loop.call_soon_threadsafe(self._done, group, seconds, failure)
            except RuntimeError:
                return  # the loop is closed; nobody waits any more

    def _done(self, group: Group, seconds: float, failure: BaseException | None) -> None:
        if failure is not None:
            self._fail(group, failure)
            return
        commits = self._before
        self._slowest = max(seconds, self._slowest * FORGETTING)
        for waiter in group:
            waiter(None)
        if self._joined:
            self._gather(0, 0, 0)
        else:
            self._busy = False
        self._on_flush(commits, seconds)

    def _fail(self, group: Group, failure: BaseException) -> None:
        self._failed = True
        waiting, self._gathering = group + self._gathering, []
        self._on_failure(failure)
        # Who was held back for a flush must not wait for one that never comes.
        self.prepare()
        for waiter in waiting:
            waiter(unavailable())

    def stop(self) -> None:
        """Ends the thread after the flushes that were asked for."""
        if self._joined:
            self._begin()
        self._groups.put(None)
        self._thread.join()


def unavailable() -> StoreUnavailableError:
    """What is said to whoever waits for a flush that failed."""
    return StoreUnavailableError("the store cannot be written")


def _nothing() -> None:
    pass
