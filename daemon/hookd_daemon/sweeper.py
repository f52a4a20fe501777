"""Fires timers when they are due, and removes what old runs have left."""

from __future__ import annotations

import asyncio

from hookd_daemon.api.backend import Backend, note_fired
from hookd_daemon.core import keys, topics
from hookd_daemon.core.firing import collect_garbage, fire_timer
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.timers import next_timers, set_timer
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.logs import get_logger
from hookd_daemon.records.v1.records_pb2 import TimerKind, TimerRecord
from hookd_daemon.store.tx import Tx

log = get_logger(__name__)

#: How many timers are fired, and how many records removed, in one commit.
TIMERS_AT_ONCE = 256
RECORDS_AT_ONCE = 256
#: Nothing sets a timer before the time of its call, and no call takes this long
#: from reading the clock to its commit: older timers need not be looked for.
OVERLAP_MS = 1_000
#: A timer that cannot be fired is tried again after so long.
POSTPONE_MS = 60_000

Due = list[tuple[bytes, TimerRecord]]


class Sweeper:
    """The task that does what is due.

    Args:
        backend: the store and the time.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # Behind this key are all timers that have not fired.
        self._after = b""
        # From this key on there may be garbage; None when there is none.
        self._garbage: bytes | None = keys.GARBAGE
        # Garbage was left since the search for it began.
        self._littered = False
        self._news = backend.store.subscribe(topics.TIMERS, topics.GARBAGE)
        self._sweeping = asyncio.Lock()

    async def run(self) -> None:
        """Sweeps until the store closes."""
        try:
            with self._news:
                while True:
                    async with self._sweeping:
                        wait_s = await self._sweep()
                    if wait_s != 0:
                        await self._news.wait(wait_s)
        except StoreUnavailableError:
            return

    async def catch_up(self) -> None:
        """Does all that is due now; to be called when the clock was moved on.

        The task that ``run`` is in sleeps by the time that really passes.

        Raises:
            StoreUnavailableError: the store is closed.
        """
        async with self._sweeping:
            while await self._sweep() == 0:
                pass
        self._news.nudge()

    async def _sweep(self) -> float | None:
        """Does a part of what is due; returns how long nothing will be, in seconds."""
        store, clock = self._backend.store, self._backend.clock
        now = clock.now_ms()
        due, next_ms = await store.transact(next_timers, self._after, now, TIMERS_AT_ONCE)
        if due:
            await self._fire(due)
            self._after = due[-1][0]
        more_garbage = await self._collect()
        if len(due) == TIMERS_AT_ONCE or more_garbage:
            await asyncio.sleep(0)
            return 0
        self._after = keys.timer(max(now - OVERLAP_MS, 0), 0)
        if next_ms is None:
            return None
        return max(next_ms - clock.now_ms(), 0) / 1000

    async def _collect(self) -> bool:
        """Removes some of what old runs have left; True when there may be more."""
        self._littered |= topics.GARBAGE in self._news.named()
        if self._garbage is None and self._littered:
            self._garbage, self._littered = keys.GARBAGE, False
        if self._garbage is not None:
            self._garbage = await self._backend.store.transact(
                collect_garbage, self._garbage, RECORDS_AT_ONCE
            )
        return self._garbage is not None or self._littered

    async def _fire(self, due: Due) -> None:
        moments = {timer.project: self._backend.moment(timer.project) for _, timer in due}
        try:
            done = await self._backend.store.transact(_fire_all, moments, due)
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("timers could not be fired together; trying them one by one")
            for one in due:
                await self._fire_alone(moments, one)
        else:
            for (_, timer), what in zip(due, done, strict=True):
                note_fired(timer, what)

    async def _fire_alone(self, moments: dict[str, Moment], one: tuple[bytes, TimerRecord]) -> None:
        try:
            await self._backend.store.transact(_fire_all, moments, [one])
        except StoreUnavailableError:
            raise
        except Exception:
            key, timer = one
            log.exception(
                "a timer could not be fired; trying again in a minute",
                kind=TimerKind.Name(timer.kind),
                run_id=timer.run_id,
                project=timer.project,
            )
            later = self._backend.clock.now_ms() + POSTPONE_MS
            await self._backend.store.transact(_postpone, key, later, timer)


async def _fire_all(tx: Tx, moments: dict[str, Moment], due: Due) -> list[str]:
    return [await fire_timer(tx, moments[timer.project], key, timer) for key, timer in due]


async def _postpone(tx: Tx, key: bytes, due_ms: int, timer: TimerRecord) -> None:
    tx.delete(key)
    set_timer(tx, due_ms, timer)
