"""Where in the users' code something was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType

Place = tuple["CodeType", int]
"""Code and the number of a line in it: cheap to note, and made text when it is needed."""

_OURS = (
    os.path.join(os.path.dirname(os.path.dirname(__file__)), ""),
    os.path.join(os.path.dirname(asyncio.__file__), ""),
    contextlib.__file__,
)
_is_ours: dict[str, bool] = {}

LOOP = "run_until_quiet"
"""The function below which there is no workflow code on the stack."""


def here() -> Place | None:
    """Gives the innermost line of users' code that is running; None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not is_ours(frame):
            return code, frame.f_lineno
        if code.co_name == LOOP:
            return None
        frame = frame.f_back
    return None


def is_ours(frame: FrameType) -> bool:
    """Whether a frame is one of hookd or asyncio, and not of users' code."""
    name = frame.f_code.co_filename
    known = _is_ours.get(name)
    if known is None:
        known = _is_ours[name] = name.startswith(_OURS)
    return known


def text(place: Place | None) -> str:
    """Gives " at file:line", or nothing."""
    return "" if place is None else f" at {place[0].co_filename}:{place[1]}"
