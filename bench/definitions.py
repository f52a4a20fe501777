"""The workflows that are measured. A worker process serves this module."""

from __future__ import annotations

import time

from hookd import create_hook, step, workflow


@step
async def add_one(number: int) -> int:
    """Adds one: a step that costs nothing itself."""
    return number + 1


@step
async def moment() -> int:
    """Tells when it began, on the clock that all processes of the machine share."""
    return time.monotonic_ns()


@workflow
async def three_steps(number: int) -> int:
    """One step after the other."""
    first = await add_one(number)
    second = await add_one(first)
    return await add_one(second)


@workflow
async def goes_on(token: str) -> int:
    """Waits for a payload and then executes a step."""
    await create_hook(token=token)
    return await moment()


@workflow
async def ends(token: str) -> int:
    """Waits for a payload and ends with it."""
    payload: int = await create_hook(token=token)
    return payload


@workflow
async def long_life(steps: int, tokens: list[str]) -> dict[str, list[int]]:
    """Executes many steps, and tells when each began; then is woken by hooks."""
    begun = [await moment() for _ in range(steps)]
    woken = []
    for token in tokens:
        await create_hook(token=token)
        woken.append(await moment())
    return {"begun": begun, "woken": woken}
