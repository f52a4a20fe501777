"""Threads that do one thing after the other, and never keep the process from ending."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class SpoiledError(BaseException):
    """Raised by work after which its thread cannot be trusted any more: the thread ends."""


class Job(Generic[T]):
    """One thing for a thread to do.

    Attributes:
        done: Gets what came of it, in the event loop that asked for it.
    """

    __slots__ = ("_given_up", "_settled", "_started", "_work", "done")

    def __init__(self, work: Callable[[], T], done: asyncio.Future[T]) -> None:
        self._work = work
        self.done = done
        self._started = False
        self._settled = False
        self._given_up = False


# `concurrent.futures` joins its threads when the interpreter ends, and cannot
# let go of one that hangs: a function that never returns would keep the worker
# from ending, or take one of its threads for ever.
class Threads:
    """At most so many threads, made when they are needed.

    All methods are for one event loop's thread.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._threads = 0
        self._unfinished = 0
        self._closed = False

    def run(self, work: Callable[[], T]) -> Job[T]:
        """Has a thread call ``work``."""
        job = Job(work, asyncio.get_running_loop().create_future())
        self._unfinished += 1
        if self._threads < min(self._unfinished, self._most):
            self._threads += 1
            threading.Thread(target=self._main, name=self._name, daemon=True).start()
        self._jobs.put(job)
        return job

    def give_up(self, job: Job[T], error: BaseException | None = None) -> None:
        """Waits no longer for a job: its thread is replaced, and ends when it comes back.

        Args:
            job: The job.
            error: What the job ends with; it is cancelled when None.
        """
        if job._settled or job._given_up:
            return
        job._given_up = True
        self._unfinished -= 1
        if job._started:
            self._threads -= 1
        if job.done.done():
            return  # Whoever waited for it has been cancelled.
        if error is None:
            job.done.cancel()
        else:
            job.done.set_exception(error)

    def close(self) -> None:
        """Lets the threads end, each when it is done."""
        if not self._closed:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _main(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._do(job):
                return

    def _do(self, job: Job[object]) -> bool:
        """Does a job; tells whether the thread goes on."""
        result: object = None
        error: BaseException | None = None
        if not job._given_up:
            job._started = True
            try:
                result = job._work()
            except BaseException as raised:  # noqa: BLE001 - the caller is told
                error = raised
        goes_on = not (job._started and job._given_up) and not isinstance(error, SpoiledError)
        try:
            job.done.get_loop().call_soon_threadsafe(self._settle, job, result, error, goes_on)
        except RuntimeError:
            return False  # The loop is closed: nobody waits.
        return goes_on

    def _settle(
        self, job: Job[object], result: object, error: BaseException | None, goes_on: bool
    ) -> None:
        if job._given_up:
            # It was counted out; if it did not notice in time, it is still there.
            self._threads += job._started and goes_on
            return
        job._settled = True
        self._unfinished -= 1
        self._threads -= not goes_on
        if job.done.cancelled():
            return
        if error is None:
            job.done.set_result(result)
        else:
            job.done.set_exception(error)
