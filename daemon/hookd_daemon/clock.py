"""The daemon's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

_NS_PER_MS = 1_000_000


class Clock:
    """Milliseconds since the epoch that only ever move forward, at one second per second.

    The wall clock is read once, when the clock is made; from then on the
    monotonic clock is added to that reading. So an operator or a time daemon
    that sets the wall clock, in either direction, neither ends leases and hooks
    early nor keeps them alive: what was promised to last ten seconds lasts ten
    seconds. The price is that the daemon follows a corrected wall clock only
    after a restart, which is when stored times meet the new wall clock.

    Args:
        wall_ns: Reads the wall clock, in nanoseconds; called once.
        monotonic_ns: Reads the monotonic clock, in nanoseconds.
    """

    __slots__ = ("_monotonic_ns", "_offset_ns")

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_ms(self) -> int:
        """Returns the time now, in whole milliseconds since the epoch."""
        return (self._offset_ns + self._monotonic_ns()) // _NS_PER_MS
