"""Workflows that sleep: in sequence, in parallel, and against something else."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from hookd import create_hook, now, sleep, step, workflow

from tests.e2e.workflows.programs.marks import mark, wait_for_gate


@workflow
async def in_sequence(seconds: float) -> list[datetime]:
    """Sleeps once for each way to say for how long; tells when it was awake."""
    awake = [now()]
    span = timedelta(seconds=seconds)
    await sleep(seconds)
    awake.append(now())
    await sleep(f"{seconds * 1000:g}ms")
    awake.append(now())
    await sleep(span)
    awake.append(now())
    await sleep(now() + span)
    awake.append(now())
    await sleep(now() - span)
    return awake


@workflow
async def in_parallel(delays: list[float]) -> list[float]:
    """Sleeps several times at once; tells the order of the ends."""
    ended: list[float] = []

    async def one(delay: float) -> None:
        await sleep(delay)
        ended.append(delay)

    await asyncio.gather(*map(one, delays))
    return ended


@workflow
async def against_a_hook(token: str, first: float, second: float) -> list[Any]:
    """Waits twice for a payload, each time not longer than so."""
    hook = create_hook(token=token)
    got: list[Any] = []
    for limit in (first, second):
        try:
            async with asyncio.timeout(limit):
                got.append(await hook)
        except TimeoutError:
            got.append("nothing came")
    return got


@workflow
async def whichever_is_first(token: str, delay: float) -> list[str]:
    """Lets a sleep, a hook and a task race; tells who won, and what the loser gives after all."""
    hook = create_hook(token=token)

    async def wait() -> str:
        return f"payload {await hook}"

    async def doze() -> str:
        await sleep(delay)
        return "slept"

    tasks = [asyncio.create_task(wait(), name="wait"), asyncio.create_task(doze(), name="doze")]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    found = [task.result() for task in done]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    found += [f"{task.get_name()} cancelled" for task in pending if task.cancelled()]
    # A wait that was cancelled has taken no payload.
    if found[0] == "slept":
        found.append(f"payload {await hook}")
    return found


@step
async def be_long(file: str, gate: str) -> str:
    """Is told when nobody waits for it any more."""
    mark(file, "began")
    try:
        await wait_for_gate(gate)
    except asyncio.CancelledError:
        mark(file, "told")
        raise
    mark(file, "ended")
    return "done"


@workflow
async def against_a_step(file: str, gate: str, limit: float) -> str:
    """Waits for a step, but not longer than so."""
    try:
        return await asyncio.wait_for(be_long(file, gate), limit)
    except TimeoutError:
        return "too long"
