"""Runs a transaction function to its end on an engine that never waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hookd_daemon.store.tx import Tx

T = TypeVar("T")


def run_at_once(fn: Callable[..., Awaitable[T]], tx: Tx, *args: Any, **kwargs: Any) -> T:
    """Runs ``fn(tx, …)`` without giving the event loop a turn.

    Nothing else runs meanwhile: this is what isolates transactions from each
    other on an engine whose reads complete at once.

    Raises:
        RuntimeError: the function waited for something that is not its ``tx``.
    """
    coroutine = fn(tx, *args, **kwargs).__await__()
    try:
        next(coroutine)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError(f"{fn!r} waited for something else than its transaction")
