"""A workflow of which two versions are deployed side by side."""

from __future__ import annotations

import os
from typing import Any

from hookd import create_hook, sleep, step, workflow

VERSION = os.environ.get("VERSION", "1")


@step(name=f"step-of-{VERSION}")
async def do() -> str:
    """Only this version calls it."""
    return VERSION


@workflow(version=VERSION)
async def deployed(token: str) -> list[Any]:
    """Does what its version does, before and after it waits."""
    hook = create_hook(token=token)
    got: list[Any] = [VERSION, await do()]
    await sleep(0.01)
    payload = await hook
    return [*got, payload, await do(), VERSION]


@workflow(version=VERSION)
async def compatible(token: str) -> list[Any]:
    """Does the same in all versions, and tells which one has ended it."""
    return [await create_hook(token=token), VERSION]
