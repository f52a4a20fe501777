"""Workflows whose code is another one in the worker that goes on with their runs.

With the same version in both: a worker must find out by the log, as it would
if the code depended on the time of day.
"""

from __future__ import annotations

import asyncio
import os

from hookd import create_hook, get_writable, set_attributes, sleep, step, workflow

CHANGED = os.environ.get("CHANGED") == "yes"


@step
async def reserve(item: str) -> str:
    """What the first code does."""
    return item


@step
async def charge(item: str) -> str:
    """What the second code does."""
    return item


@workflow(version="1")
async def another_step(token: str) -> str:
    """Calls another step."""
    await (charge if CHANGED else reserve)("shoes")
    return str(await create_hook(token=token))


@workflow(version="1")
async def step_gone(token: str) -> str:
    """Leaves a step out, and waits for something else first."""
    if CHANGED:
        await asyncio.Event().wait()
    await reserve("shoes")
    return str(await create_hook(token=token))


@workflow(version="1")
async def sleep_instead(token: str) -> str:
    """Sleeps where it called a step."""
    if CHANGED:
        await sleep(0.01)
    else:
        await reserve("shoes")
    return str(await create_hook(token=token))


@workflow(version="1")
async def another_token(token: str) -> str:
    """Wants another token."""
    return str(await create_hook(token=f"{token}-changed" if CHANGED else token))


@workflow(version="1")
async def another_order(token: str) -> str:
    """Does two things the other way round."""
    if CHANGED:
        await get_writable().write("hello")
        await set_attributes({"state": "waiting"})
    else:
        await set_attributes({"state": "waiting"})
        await get_writable().write("hello")
    return str(await create_hook(token=token))


@workflow(version="1")
async def returns_early(token: str) -> str:
    """Returns where it waited."""
    hook = create_hook(token=token)
    if CHANGED:
        return "at once"
    await sleep(0.01)
    return str(await hook)


@workflow(version="1")
async def raises_early(token: str) -> str:
    """Raises where it waited."""
    hook = create_hook(token=token)
    if CHANGED:
        raise LookupError("not any more")
    await sleep(0.01)
    return str(await hook)


@workflow(version="1")
async def goes_on_otherwise(token: str) -> str:
    """Does something else, but only after what the log has: that is no contradiction."""
    hook = create_hook(token=token)
    await reserve("shoes")
    payload = await hook
    return f"{await charge('shoes')} {payload}" if CHANGED else str(payload)
