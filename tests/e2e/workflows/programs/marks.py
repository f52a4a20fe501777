"""Lines in files: what a step or a workflow did leaves a trace that outlives its process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

#: Whoever waits longer for a gate than this has found something that is stuck.
PATIENCE = 60.0
_PAUSE = 0.01


def mark(file: str, *words: object) -> None:
    """Appends a line."""
    # One write of one short line: lines of several processes do not mix.
    with Path(file).open("a") as opened:
        opened.write(" ".join(map(str, words)) + "\n")


def marks(file: str | Path) -> list[str]:
    """The lines so far."""
    path = Path(file)
    return path.read_text().splitlines() if path.exists() else []


def is_open(gate: str | Path) -> bool:
    """Whether somebody has opened a gate."""
    return Path(gate).exists()


def open_gate(gate: str | Path) -> None:
    """Lets all through that wait at a gate, or will."""
    Path(gate).touch()


def wait_at(gate: str) -> None:
    """Waits in a thread until a gate is open."""
    end = time.monotonic() + PATIENCE
    while not is_open(gate):
        if time.monotonic() > end:
            raise TimeoutError(f"nobody has opened {gate}")
        time.sleep(_PAUSE)


async def wait_for_gate(gate: str) -> None:
    """Waits in a coroutine until a gate is open."""
    async with asyncio.timeout(PATIENCE):
        while not is_open(gate):  # noqa: ASYNC110 - somebody else opens it
            await asyncio.sleep(_PAUSE)
