"""Waiting for something to come true, and doing things at the same instant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_never = threading.Event()


def eventually(look: Callable[[], T], within: float = 30.0, pause: float = 0.005) -> T:
    """Looks again and again until there is something true to see, and returns that."""
    for _ in range(max(int(within / pause), 1)):
        found = look()
        if found:
            return found
        _never.wait(pause)
    raise AssertionError(f"nothing to see within {within} s; the last look saw {found!r}")


def at_once(count: int, do: Callable[[int], T]) -> list[T]:
    """Calls ``do(0)`` … ``do(count - 1)``, each in a thread, at one instant."""
    gate = threading.Barrier(count)

    def work(number: int) -> T:
        gate.wait(30)
        return do(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
