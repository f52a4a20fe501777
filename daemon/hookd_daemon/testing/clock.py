"""A clock that can be moved on."""

from __future__ import annotations

from hookd_daemon.clock import Clock


class MovableClock(Clock):
    """Goes at one second per second, as any clock, and can be moved on besides."""

    __slots__ = ("_moved_ms",)

    def __init__(self) -> None:
        super().__init__()
        self._moved_ms = 0

    def now_ms(self) -> int:
        """See ``Clock.now_ms``."""
        return super().now_ms() + self._moved_ms

    def move_to(self, time_ms: int) -> None:
        """Moves on to a time; when it has passed already, does nothing."""
        self._moved_ms += max(time_ms - self.now_ms(), 0)
