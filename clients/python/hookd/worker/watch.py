"""Watches turns: code that runs on and on without an await is reported, then ended.

A turn runs in a thread, so that the rest of the worker goes on. The event loop
looks at the turns from outside, now and then. A turn counts as stuck for as
long as it stays at one event: a replay of a long log is no reason to worry.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import threading
import time
from typing import TYPE_CHECKING

from hookd.worker.threads import Job, SpoiledError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.v1.events_pb2 import Event
    from hookd.v1.worker_service_pb2 import Command
    from hookd.worker.threads import Threads
    from hookd.workflows.execution import Execution

_log = logging.getLogger("hookd.worker")

REPORT_AFTER = 2.0
"""A turn that is stuck for so many seconds is reported."""
_LONGEST_PAUSE = 0.5
_LAST_CHANCE = 5.0

_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc


class TurnEndedError(SpoiledError):
    """Raised in the code of a workflow that does not come back.

    It may be raised between any two instructions, also in what runs the code:
    what the thread has in hand then cannot be trusted any more.
    """


def _take_interruption(thread: int) -> None:
    """Takes the interruption that may still be on its way to this thread, the one it is called in.

    It is not taken back (with NULL): CPython then goes on looking for it in all
    threads of the process for ever, and a profiler or debugger of 3.11 stands
    still. It is sent once more instead, which replaces it, and raised here.
    """
    with contextlib.suppress(TurnEndedError):
        _set_exception(ctypes.c_ulong(thread), ctypes.py_object(TurnEndedError))
        while True:
            pass


class _Turn:
    """A turn that a thread is at."""

    __slots__ = ("ended", "execution", "job", "next_report", "run_id", "seq", "since", "thread")

    def __init__(self, run_id: str, execution: Execution) -> None:
        self.run_id = run_id
        self.execution = execution
        self.job: Job[list[Command]] | None = None
        # The thread's id while it may be interrupted.
        self.thread: int | None = None
        self.ended = False
        # The event it is at, and since when, as far as anybody has looked.
        self.seq = 0
        self.since = 0.0
        self.next_report = 0.0

    def begin(self) -> None:
        """Notes that a thread begins with it."""
        self.seq = self.execution.seen_seq
        self.since = time.monotonic()
        self.thread = threading.get_ident()


class TurnWatch:
    """Runs the code of workflows in threads, and watches it."""

    def __init__(self, threads: Threads, timeout: float) -> None:
        self._threads = threads
        self._timeout = timeout
        self._report_after = min(REPORT_AFTER, timeout / 2)
        self._pause = min(_LONGEST_PAUSE, self._report_after / 2)
        self._turns: set[_Turn] = set()
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def feed(
        self, run_id: str, execution: Execution, events: Sequence[Event]
    ) -> list[Command]:
        """Feeds events to an execution, and gives what its code wants done.

        When the caller is cancelled the thread goes on for a while. The
        execution is then discarded by it, and not the caller's any more.

        Raises:
            TurnEndedError: The code did not come back; as with a cancellation,
                the execution is not the caller's any more.
            Exception: What feeding raised.
        """
        turn = _Turn(run_id, execution)
        turn.job = job = self._threads.run(lambda: self._work(turn, events))
        self._turns.add(turn)
        job.done.add_done_callback(lambda _: self._turns.discard(turn))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._report_after, self._look)
        try:
            return await asyncio.shield(job.done)
        except asyncio.CancelledError:
            job.done.add_done_callback(lambda _: execution.discard())
            raise

    def close(self) -> None:
        """Stops watching."""
        if self._timer is not None:
            self._timer.cancel()

    # In the thread

    def _work(self, turn: _Turn, events: Sequence[Event]) -> list[Command]:
        try:
            try:
                turn.begin()
                turn.execution.feed(events)
                commands = turn.execution.commands()
            finally:
                self._leave(turn)
        except BaseException:
            # Once more: the interruption may have come while the thread left.
            self._leave(turn)
            if not turn.ended:
                raise
        if turn.ended:
            # Or the code has caught it, and gone on.
            turn.execution.discard()
            raise TurnEndedError
        return commands

    def _leave(self, turn: _Turn) -> None:
        """Sees to it that the thread is not interrupted from here on."""
        while True:
            try:
                with self._lock:
                    thread, turn.thread = turn.thread, None
            except TurnEndedError:
                continue
            if turn.ended and thread is not None:
                _take_interruption(thread)
            return

    # In the event loop

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for turn in tuple(self._turns):
            self._look_at(turn, now)
        if self._turns:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._look)

    def _look_at(self, turn: _Turn, now: float) -> None:
        seq = turn.execution.seen_seq
        if turn.thread is None:
            return  # It waits for a thread, or is done.
        if seq != turn.seq:
            turn.seq, turn.since, turn.next_report = seq, now, 0.0
        stuck = now - turn.since
        if stuck >= self._timeout + _LAST_CHANCE and turn.job is not None:
            self._threads.give_up(turn.job, TurnEndedError())
        elif stuck >= self._timeout:
            self._interrupt(turn)
        elif stuck >= max(turn.next_report, self._report_after):
            turn.next_report = stuck * 2
            _log.warning(
                "run %s: the workflow has been running for %.1f s without an await; "
                "it is ended after %g s. It is here:\n%s",
                turn.run_id,
                stuck,
                self._timeout,
                turn.execution.stack().rstrip(),
            )

    def _interrupt(self, turn: _Turn) -> None:
        with self._lock:
            if turn.thread is not None:
                turn.ended = True
                _set_exception(ctypes.c_ulong(turn.thread), ctypes.py_object(TurnEndedError))
