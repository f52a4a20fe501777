"""How projects share the daemon while several of them call.

A project that is alone has all of it, and nothing here costs it more than a
few look-ups. While others call, too, each project has a few calls under way at
a time, and its next ones wait for these: so a call of a project that asks for
little stands behind a few calls of another, and not behind all that the other
has sent. A large request, which keeps the event loop busy for milliseconds, is
answered alone, and its project's next large one begins after a rest as long as
that took: at least half of the time is for the others.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from hookd_daemon.errors import LimitExceededError
from hookd_daemon.telemetry.metrics import Metrics

#: How many small calls of one project are under way while others call. Few, so
#: that others wait little; enough to share a sync of the disk.
SMALL_AT_ONCE = 8
#: A request is large from so many bytes on: about a hundred claims.
LARGE_BYTES = 8 * 1024
#: Who has called within so many seconds counts as one who calls.
LATELY_S = 1.0
#: The longest rest after a large request, in seconds.
LONGEST_REST_S = 0.1
#: Of the calls in flight, and of the streams, one in so many is kept for projects that have few.
KEPT = 8
#: Below this many projects, idle ones are not worth looking for.
LEAST_SWEEP = 256


class _Queue:
    """The calls of one project that are of one size.

    Attributes:
        at_once: how many are under way while others call.
        rests: after each call, for as long as that took.
        under_way: how many are.
        parked: those that wait for their turn, and those that gave up waiting.
        resting: none is to begin while others call.
    """

    __slots__ = ("at_once", "parked", "resting", "rests", "under_way")

    def __init__(self, at_once: int, *, rests: bool) -> None:
        self.at_once = at_once
        self.rests = rests
        self.under_way = 0
        self.parked: deque[Place] = deque()
        self.resting = False

    def has_room(self) -> bool:
        """Whether one more may go on while others call."""
        return self.under_way < self.at_once and not self.resting


class _Tenant:
    """The calls of one project."""

    __slots__ = ("calls", "large", "small")

    def __init__(self) -> None:
        self.calls = 0
        self.small = _Queue(SMALL_AT_ONCE, rests=False)
        self.large = _Queue(1, rests=True)

    def is_idle(self) -> bool:
        """Whether nothing would be lost with it."""
        return not self.calls and not self.large.resting


class Place:
    """The place of one call among those of its project.

    Attributes:
        project: the project.
        turn: done when the call may go on; None when it need not wait, or has
            not asked.
    """

    __slots__ = ("_began", "_is_under_way", "_queue", "_sharing", "_tenant", "project", "turn")

    def __init__(self, sharing: Sharing, project: str, tenant: _Tenant) -> None:
        self._sharing = sharing
        self.project = project
        self._tenant = tenant
        self._queue = tenant.small
        self._began = 0.0
        self._is_under_way = False
        self.turn: asyncio.Future[None] | None = None
        tenant.calls += 1

    def ask(self, size: int) -> asyncio.Future[None] | None:
        """Asks for the call's turn, which has come when the future is done, or at once.

        Args:
            size: the bytes of the request.
        """
        queue = self._queue = self._tenant.large if size >= LARGE_BYTES else self._tenant.small
        if self._sharing.is_shared_by(self.project):
            if queue.parked or not queue.has_room():
                self.turn = asyncio.get_running_loop().create_future()
                queue.parked.append(self)
                return self.turn
        elif queue.parked:
            self._sharing.wake(queue, shared=False)
        self.go()
        return None

    def go(self) -> None:
        """Lets the call go on, if anybody still waits for that."""
        if self.turn is not None:
            if self.turn.done():
                return
            self.turn.set_result(None)
        self._is_under_way = True
        self._queue.under_way += 1
        if self._queue.rests:
            self._began = self._sharing.now()

    def end(self) -> None:
        """Notes that the call is over, or waits for something that happens outside."""
        self._tenant.calls -= 1
        if self._is_under_way:
            self._is_under_way = False
            self._queue.under_way -= 1
            self._sharing.left(self._queue, self._began)

    def again(self) -> None:
        """Notes that the call goes on after such a wait; it does not wait for its turn."""
        self._tenant.calls += 1
        self._is_under_way = True
        self._queue.under_way += 1


class Sharing:
    """Gives each call of a project its turn.

    Args:
        metrics: counts the calls in flight, and those that are refused.
        max_calls: how many there may be.
        now: seconds that only grow.
    """

    def __init__(
        self, metrics: Metrics, max_calls: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._kept = max_calls // KEPT
        self._free = max_calls - self._kept
        self.now = now
        self._tenants: dict[str, _Tenant] = {}
        self._sweep_at = LEAST_SWEEP
        self._latest: str | None = None
        self._shared_until = 0.0

    def enter(self, project: str, *, counted: bool = True) -> Place:
        """Gives a call a place, on which ``end`` is to be called.

        Args:
            project: whose call it is.
            counted: it is one of the calls in flight, and may be refused as such.

        Raises:
            LimitExceededError: the project has many in flight, and what is left
                is kept for others.
        """
        tenant = self._tenants.get(project)
        if tenant is None:
            tenant = self._add(project)
        if counted and self._metrics.calls_in_flight > self._free and tenant.calls >= self._kept:
            self._metrics.rejected["calls"] += 1
            advice = "the rest is kept for other projects; try again later"
            raise LimitExceededError("calls_in_flight", self._free, advice)
        return Place(self, project, tenant)

    def _add(self, project: str) -> _Tenant:
        if len(self._tenants) >= self._sweep_at:
            self._tenants = {
                name: tenant for name, tenant in self._tenants.items() if not tenant.is_idle()
            }
            # Twice what is left, so that sweeping costs each project a constant.
            self._sweep_at = max(2 * len(self._tenants), LEAST_SWEEP)
        tenant = self._tenants[project] = _Tenant()
        return tenant

    def is_shared_by(self, project: str) -> bool:
        """Whether others than this project, which calls now, have called lately."""
        if project != self._latest:
            if self._latest is not None:
                self._shared_until = self.now() + LATELY_S
            self._latest = project
        return self._is_shared()

    def _is_shared(self) -> bool:
        if not self._shared_until:
            return False
        if self._shared_until > self.now():
            return True
        self._shared_until = 0.0
        return False

    def left(self, queue: _Queue, began: float) -> None:
        """Lets the next calls of a queue go on, after one that is over."""
        shared = self._is_shared()
        if queue.rests and shared:
            queue.resting = True
            rest = min(self.now() - began, LONGEST_REST_S)
            asyncio.get_running_loop().call_later(rest, self._rested, queue)
        elif queue.parked:
            self.wake(queue, shared=shared)

    def _rested(self, queue: _Queue) -> None:
        queue.resting = False
        self.wake(queue, shared=self._is_shared())

    def wake(self, queue: _Queue, *, shared: bool) -> None:
        """Lets those that are parked go on, as many as may."""
        while queue.parked and (queue.has_room() or not shared):
            queue.parked.popleft().go()
