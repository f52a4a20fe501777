"""Moves a daemon's time on, and lets everything happen that comes due on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

from hookd_daemon.core import keys
from hookd_daemon.core.queues import Entry, read_queue, read_queue_names
from hookd_daemon.records.v1.records_pb2 import (
    TIMER_KIND_HOLD,
    TIMER_KIND_LEASE,
    TIMER_KIND_RETENTION,
    TIMER_KIND_RUN_TIMER,
    TIMER_KIND_STEP_RETRY,
    TIMER_KIND_TTL,
    TimerKind,
    TimerRecord,
)
from hookd_daemon.server import Serving
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx
from hookd_daemon.testing.clock import MovableClock

Kinds = Collection[TimerKind.ValueType]

#: What a run may be waiting for.
WAKING = {TIMER_KIND_RUN_TIMER, TIMER_KIND_STEP_RETRY, TIMER_KIND_TTL}
#: All but leases, which their holders keep alive by the time that really passes.
UNHELD = {*WAKING, TIMER_KIND_HOLD, TIMER_KIND_RETENTION}
EVERY = {*UNHELD, TIMER_KIND_LEASE}

#: How long workers may be at what there is to do at one moment.
PATIENCE_S = 30.0
#: So often it is looked at whether they still are.
LOOK_S = 0.001
#: So many things to do are named when they take too long.
MOST_NAMED = 5


class Time:
    """The time of a daemon while it serves.

    Time must not be moved on while a worker is at something: it would take a
    minute for what took a moment, and set its next timer a minute late. What
    workers have to do is in the daemon's queues from the commit on that gives
    a reason for it until the commit that holds its outcome. So nobody is at
    anything exactly while the queues that somebody serves are empty.

    Args:
        serving: the daemon.
        clock: its clock.
    """

    def __init__(self, serving: Serving, clock: MovableClock) -> None:
        self._backend = serving.backend
        self._board = serving.dispatcher.board
        self._sweeper = serving.sweeper
        self._clock = clock

    async def is_settled(self) -> bool:
        """Whether the workers that are connected have nothing to do at this moment."""
        names = await self._backend.store.transact(read_queue_names, None)
        return self._board.queues.keys().isdisjoint(names)

    async def settle(self) -> None:
        """Waits until the workers that are connected have nothing to do at this moment.

        Raises:
            TimeoutError: they are at it for too long; the error says at what.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self.is_settled():  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise TimeoutError(
                f"the time of the daemon stands, because after {PATIENCE_S:g} s workers "
                f"are still at: {await self._open_work()}"
            ) from None

    async def _open_work(self) -> str:
        found: list[str] = []
        for project, kind, name in list(self._board.queues):
            entries = await self._backend.store.transact(
                read_queue, project, kind, name, 0, MOST_NAMED
            )
            found += [_described(entry) for entry in entries]
        more = ", …" if len(found) > MOST_NAMED else ""
        return ", ".join(found[:MOST_NAMED]) + more

    async def skip(self, span_ms: int) -> None:
        """Moves time on by so much, from each thing that comes due to the next.

        The time that really passes meanwhile is no part of it. So a workflow
        whose sleeps are together no longer than the span gets through them,
        however long its worker takes between them.

        Raises:
            TimeoutError: workers are for too long at what came due.
        """
        clock, left_ms = self._clock, span_ms
        while True:
            await self.settle()
            due = await self._backend.store.transact(_next_due, EVERY)
            now = clock.now_ms()
            if due is None or due > now + left_ms:
                break
            left_ms -= max(due - now, 0)
            await self._move_to(due)
        await self._move_to(now + left_ms)
        await self.settle()

    async def step(self) -> bool:
        """Moves time on to what comes due next, if all there is to do is to wait for it.

        Returns:
            False when there is something else to do, or nothing to wait for.
        """
        store = self._backend.store
        if not await self.is_settled() or await store.transact(_next_due, WAKING) is None:
            return False
        due = await store.transact(_next_due, UNHELD)
        if due is None:
            return False
        await self._move_to(due, keep_leases=True)
        return True

    async def _move_to(self, time_ms: int, *, keep_leases: bool = False) -> None:
        self._clock.move_to(time_ms)
        if keep_leases:
            # As after a restart: nobody could keep a lease alive meanwhile.
            self._backend.booted_ms = self._clock.now_ms()
        await self._sweeper.catch_up()


async def _next_due(tx: Tx, kinds: Kinds) -> int | None:
    """When the next timer of one of these kinds is due; None when there is none."""
    start, end = keys.TIMER, end_of(keys.TIMER)
    while pairs := await tx.scan(start, end, 64):
        for key, value in pairs:
            if TimerRecord.FromString(value).kind in kinds:
                return keys.due_of(key)
        start = pairs[-1][0] + b"\0"
    return None


def _described(entry: Entry) -> str:
    since = datetime.fromtimestamp(entry.since_ms / 1000, UTC).isoformat(timespec="seconds")
    what = f'step "{entry.name}"' if entry.step_id else f'workflow "{entry.name}"'
    return f"{what} of run {entry.run_id} (since {since})"
