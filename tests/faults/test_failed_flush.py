"""A flush that fails: who was held back for the next one is told as well."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.rocks.flusher import Flusher


async def test_what_was_held_back_for_a_flush_is_told_of_the_failure() -> None:
    """It is handed over once more, after the store has noted that it cannot be written."""
    begun, go = threading.Event(), threading.Event()
    happened: list[str] = []

    def flush() -> None:
        begun.set()
        assert go.wait(30)
        raise OSError(5, "Input/output error")

    flusher = Flusher(
        flush,
        on_flush=lambda _commits, _seconds: None,
        on_failure=lambda _error: happened.append("failed"),
    )
    flusher.prepare = lambda: happened.append("handed over")
    first = flusher.durable()
    assert await asyncio.to_thread(begun.wait, 30)
    behind = flusher.durable()
    go.set()
    for waiting in (first, behind):
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(waiting, 30)
    assert happened == ["handed over", "failed", "handed over"]
    flusher.stop()
