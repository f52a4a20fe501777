"""A workflow and a step whose names depend on the worker."""

from __future__ import annotations

import os

from hookd import step, workflow

SUFFIX = os.environ.get("SUFFIX", "")


@step(name=f"pack{SUFFIX}")
async def pack() -> str:
    """Does something."""
    return "packed"


@workflow(name=f"fulfil{SUFFIX}", version="1")
async def fulfil() -> str:
    """Calls a step."""
    return await pack()
