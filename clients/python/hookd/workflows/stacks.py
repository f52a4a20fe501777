"""Where the code of a workflow stands, for people."""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import TYPE_CHECKING, Any

from hookd.workflows import places

if TYPE_CHECKING:
    from types import FrameType

    from hookd.workflows.loop import WorkflowLoop

_MOST_TASKS = 20


def stack(loop: WorkflowLoop) -> str:
    """Gives the stack of the code that runs in a loop, and those of the tasks that wait."""
    parts = []
    frame = None if loop.thread is None else sys._current_frames().get(loop.thread)
    if frame is not None:
        parts.append("It is running:\n" + _lines(_running(frame)))
    waiting = [made for made in loop.made() if not made[0].done()]
    for task, place in waiting[:_MOST_TASKS]:
        frames = _suspended(task.get_coro())
        if frames:
            made = "" if place is None else f", made{places.text(place)},"
            parts.append(f"Task {task.get_name()}{made} stands:\n{_lines(frames)}")
    if len(waiting) > _MOST_TASKS:
        parts.append(f"And {len(waiting) - _MOST_TASKS} more tasks.")
    return "\n".join(parts)


def standing(main: asyncio.Task[Any] | None) -> str:
    """Gives the innermost line of users' code at which the main task waits."""
    if main is None:
        return "it has not begun"
    users = [each for each in _suspended(main.get_coro()) if not places.is_ours(each[0])]
    if not users:
        return "it waits"
    frame, line = users[-1]
    return f"it waits at {frame.f_code.co_filename}:{line}"


def _running(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    frames = []
    while frame is not None and frame.f_code.co_name != places.LOOP:
        frames.append((frame, frame.f_lineno or 0))
        frame = frame.f_back
    frames.reverse()
    return [each for each in frames if not places.is_ours(each[0])] or frames


def _suspended(thing: Any) -> list[tuple[FrameType, int]]:
    """Gives the frames of a coroutine and of what it waits for, the outermost first."""
    frames = []
    while thing is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(thing, f"{kind}_frame", None)
            if frame is not None:
                frames.append((frame, frame.f_lineno or 0))
                break
        thing = (
            getattr(thing, "cr_await", None)
            or getattr(thing, "gi_yieldfrom", None)
            or getattr(thing, "ag_await", None)
        )
    return frames


def _lines(frames: list[tuple[FrameType, int]]) -> str:
    summaries = [
        traceback.FrameSummary(frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in frames
    ]
    return "".join(traceback.format_list(summaries)).rstrip()
