"""The places where asyncio lets memory addresses decide an order.

A set of objects is walked in the order of their hashes, and the hash of an
object is its address unless it says otherwise: another one in each process.
Tasks and futures of a workflow have hashes of their own (see ``loop``). What
is left is mended here, for workflows alone: on any other loop the functions of
asyncio do what they always do.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import TYPE_CHECKING, Any

from hookd.workflows.errors import WorkflowRuleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from hookd.workflows.loop import WorkflowLoop

_as_completed: Any = asyncio.as_completed
_all_tasks: Any = asyncio.all_tasks
_ENSURE = {
    function.__code__
    for name in ("ensure_future", "_ensure_future")
    if (function := getattr(asyncio.tasks, name, None)) is not None
}
_FRAMES_BETWEEN = 5


@functools.cache
def install(kind: type[WorkflowLoop]) -> None:
    """Mends asyncio for loops of this kind; once is enough."""

    @functools.wraps(_as_completed)
    def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
        loop = asyncio._get_running_loop()
        if isinstance(loop, kind) and not (asyncio.isfuture(fs) or asyncio.iscoroutine(fs)):
            # It makes tasks of a set of coroutines: make them before, in order.
            fs = [asyncio.ensure_future(each, loop=loop) for each in dict.fromkeys(fs)]
        return _as_completed(fs, timeout=timeout)

    @functools.wraps(_all_tasks)
    def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> Any:
        asked = asyncio._get_running_loop() if loop is None else loop
        if isinstance(asked, kind):
            return set(asked.unfinished())
        return _all_tasks(loop)

    for module in (asyncio, asyncio.tasks):
        module.as_completed = as_completed  # type: ignore[attr-defined]
        module.all_tasks = all_tasks  # type: ignore[attr-defined]
    gathering: Any = getattr(asyncio.tasks, "_GatheringFuture", None)
    if gathering is not None:
        gathering.__hash__ = _hash_of_gathering(kind)


def _hash_of_gathering(kind: type[WorkflowLoop]) -> Callable[[Any], int]:
    def hash_of(future: Any) -> int:
        loop = future.get_loop()
        if not isinstance(loop, kind):
            return object.__hash__(future)
        known: int | None = getattr(future, "_workflow_hash", None)
        if known is None:
            known = future._workflow_hash = loop.next_hash()
        return known

    return hash_of


def check_order(frame: FrameType | None) -> None:
    """Makes sure that a task is not made by the ``as_completed`` that was there before.

    Args:
        frame: What makes the task.

    Raises:
        WorkflowRuleError: It is: the order of its tasks would be random.
    """
    if frame is None or frame.f_code not in _ENSURE:
        return
    for _ in range(_FRAMES_BETWEEN):
        frame = frame.f_back
        if frame is None:
            return
        if frame.f_code is _as_completed.__code__:
            raise WorkflowRuleError(
                "asyncio.as_completed, imported before hookd, starts coroutines in random order",
                call="as_completed()",
                hint="write `asyncio.as_completed(…)`, or pass tasks instead of coroutines",
            )


def caller() -> FrameType | None:
    """Gives the frame that called the function that calls this one."""
    return sys._getframe(2)
