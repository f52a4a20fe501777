"""Which calls of a project are let in: its calls per second, and its turn among others."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Protocol, TypeVar

from hookd_daemon.api import validate
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.sharing import Place, Sharing
from hookd_daemon.errors import LimitExceededError
from hookd_daemon.telemetry.metrics import Metrics


class Request(Protocol):
    """A message of the API, as far as it is looked at here."""

    @property
    def project(self) -> str:
        """The project that is named; empty for the default one."""


R = TypeVar("R", bound=Request)
T = TypeVar("T")

#: Nobody saves up, or owes, more calls than those of so many seconds.
BURST_S = 1.0
#: So long, in seconds, a call over its project's calls per second waits for the
#: refusal: from the first to the second, so that what came together does not
#: come back together.
LEAST_HOLD_S, MOST_HOLD_S = 0.5, 1.0
#: Below this many projects, idle ones are not worth looking for.
LEAST_SWEEP = 1024

#: What keeps work going that was accepted before. It counts, and is never
#: refused: else a project that calls too often would lose its leases by it.
ESSENTIAL = frozenset(
    {
        "/hookd.v1.RunService/KeepAlive",
        "/hookd.v1.WorkerService/Poll",
        "/hookd.v1.WorkerService/CompleteTurn",
        "/hookd.v1.WorkerService/CompleteStep",
        "/hookd.v1.WorkerService/Heartbeat",
    }
)


#: What is asked of the daemon, and not of a project, does not count.
OF_THE_DAEMON = frozenset(
    {
        "/hookd.v1.AdminService/GetStats",
        "/hookd.v1.AdminService/Backup",
        "/hookd.v1.AdminService/Compact",
    }
)


class CallRates:
    """Counts the calls of each project against its calls per second.

    What is kept of a project is when all its calls would have been made had it
    made them evenly. A project that has called little is not kept at all.

    Args:
        rate: how many calls per second a project may make; 0 for any number.
        metrics: is told of refusals.
        now: seconds that only grow.
    """

    def __init__(
        self,
        rate: Callable[[str], int],
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._metrics = metrics
        self._now = now
        self._even: dict[str, float] = {}
        self._sweep_at = LEAST_SWEEP

    def take(self, project: str, *, essential: bool = False) -> None:
        """Counts a call.

        Args:
            project: whose call it is.
            essential: it counts, and is let in all the same.

        Raises:
            LimitExceededError: the project has made all the calls it may make for now.
        """
        rate = self._rate(project)
        if not rate:
            return
        late = self._late(project, rate)
        if late > 0 and not essential:
            self._metrics.over_quota["calls_per_second"] += 1
            advice = "try again later, or raise --max-calls-per-second"
            raise LimitExceededError("calls_per_second", rate, advice, max(ceil(late * 1000), 1))
        self._count(project, rate)

    async def pace(self, project: str) -> None:
        """Counts a call, and waits until it may be made."""
        rate = self._rate(project)
        if not rate:
            return
        while (late := self._late(project, rate)) > 0:  # noqa: ASYNC110 - it waits for time
            await asyncio.sleep(late)
        self._count(project, rate)

    def _late(self, project: str, rate: int) -> float:
        """In how many seconds a call may be made; 0 or less for at once."""
        even = self._even.get(project)
        # One call may always be made; a little less than its time is forgiven,
        # for what a sum of fractions loses.
        return -1.0 if even is None else even - self._now() - BURST_S + 0.999 / rate

    def _count(self, project: str, rate: int) -> None:
        now = self._now()
        even = max(self._even.get(project, now), now)
        if project not in self._even and len(self._even) >= self._sweep_at:
            self._even = {name: end for name, end in self._even.items() if end > now}
            self._sweep_at = max(2 * len(self._even), LEAST_SWEEP)
        self._even[project] = min(even + 1 / rate, now + 2 * BURST_S)


class Admission:
    """Lets the calls of projects in.

    Args:
        rates: their calls per second.
        sharing: their turns.
    """

    def __init__(self, rates: CallRates, sharing: Sharing) -> None:
        self.rates = rates
        self._sharing = sharing

    async def answer(
        self,
        path: str,
        request: R,
        size: int,
        call: CallContext,
        handler: Callable[[R, CallContext], Awaitable[T]],
    ) -> T:
        """Has a call answered when it is its project's turn.

        Args:
            path: the method.
            request: what is asked.
            size: the bytes of the request.
            call: the call.
            handler: answers it.

        Raises:
            InvalidArgumentError: there can be no such project.
            LimitExceededError: the project calls too often, or has too many calls in flight.
        """
        if path in OF_THE_DAEMON:
            return await handler(request, call)
        project = validate.project(request.project)
        place = self._sharing.enter(project)
        call.has_place(place)
        try:
            try:
                self.rates.take(project, essential=path in ESSENTIAL)
            except LimitExceededError:
                await _hold(call)
                raise
            turn = place.ask(size)
            if turn is not None:
                await turn
            return await handler(request, call)
        finally:
            place.end()

    async def open(self, path: str, request: Request, call: CallContext) -> None:
        """Lets a stream in.

        Raises:
            InvalidArgumentError: there can be no such project.
            LimitExceededError: the project calls too often.
        """
        project = validate.project(request.project)
        try:
            self.rates.take(project, essential=path in ESSENTIAL)
        except LimitExceededError:
            await _hold(call)
            raise

    async def turn(self, project: str, size: int) -> Place:
        """Waits until a batch of a stream may be carried out; its place is to be ended."""
        place = self._sharing.enter(project, counted=False)
        try:
            turn = place.ask(size)
            if turn is not None:
                await turn
        except BaseException:
            place.end()
            raise
        return place


async def _hold(call: CallContext) -> None:
    """Keeps a refusal back for a while.

    To refuse a call costs as much as to answer it. Whoever asks again and again
    at once, with many calls, would keep the daemon busy with refusals.
    """
    seconds = random.uniform(LEAST_HOLD_S, MOST_HOLD_S)  # noqa: S311 - no secret
    remaining = call.time_remaining()
    # Who waits for less is to be told why, too.
    await asyncio.sleep(seconds if remaining is None else min(seconds, remaining / 2))
