"""How long to wait before a call is tried again."""

from __future__ import annotations

import asyncio
import random

_FIRST = 0.05
_MOST = 1.0
_FACTOR = 2.0


class Backoff:
    """Exponential delays with jitter, from 50 ms to 1 s.

    The most is small because what is waited for is usually one daemon that
    restarts, and the jitter is half of each delay so that its clients do not
    come back all at once.
    """

    def __init__(self) -> None:
        self._next = _FIRST

    def reset(self) -> None:
        """Begins anew: something went well."""
        self._next = _FIRST

    def delay(self) -> float:
        """Gives the next delay, in seconds."""
        full = self._next
        self._next = min(full * _FACTOR, _MOST)
        return full * (1 - random.random() / 2)  # noqa: S311 - jitter is no secret

    async def wait(self) -> None:
        """Waits for the next delay."""
        await asyncio.sleep(self.delay())
