from __future__ import annotations

import time

from hookd_daemon.clock import Clock


class Hands:
    """A wall clock and a monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.wall_ns = 1_700_000_000_000_000_000
        self.monotonic_ns = 42_000_000

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_ns, lambda: self.monotonic_ns)


def test_starts_at_the_wall_clock() -> None:
    assert Hands().clock().now_ms() == 1_700_000_000_000


def test_moves_with_the_monotonic_clock() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.monotonic_ns += 1_999_999
    assert clock.now_ms() == 1_700_000_000_001


def test_a_jump_of_the_wall_clock_changes_nothing() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall_ns += 3600 * 10**9
    assert clock.now_ms() == 1_700_000_000_000
    hands.wall_ns -= 7200 * 10**9
    assert clock.now_ms() == 1_700_000_000_000


def test_is_the_real_time_by_default() -> None:
    assert abs(Clock().now_ms() - time.time() * 1000) < 1000
