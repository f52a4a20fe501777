"""Looking at runs from outside: waiting for what happens to them, and reading their logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from hookd import Client, Event, HookSpec, Run

T = TypeVar("T")

#: Whoever waits longer than this for a run has found one that is stuck.
PATIENCE = 60.0


async def result(run: Run) -> Any:
    """What a run returns; waits for it."""
    return await run.return_value(PATIENCE)


async def log_of(run: Run) -> list[Event]:
    """The events of a run so far."""
    return [event async for event in run.events()]


async def types_of(run: Run) -> list[str]:
    """Their types."""
    return [event.type for event in await log_of(run)]


async def seen(run: Run, type: str, count: int = 1) -> Event:
    """Waits until a run has so many events of a type; gives the last of them."""
    async with asyncio.timeout(PATIENCE):
        async for event in run.watch():
            count -= event.type == type
            if not count:
                return event
    raise AssertionError(f"the run has ended without {type}: {await types_of(run)}")


async def eventually(look: Callable[[], T | Awaitable[T]]) -> T:
    """Looks again and again until there is something true to see, and returns that."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = look()
            found = await answer if isinstance(answer, Awaitable) else answer
            if found:
                return found
            await asyncio.sleep(0.005)


async def all_but_one_ended(runs: Sequence[Run]) -> Run:
    """Waits until one of some runs is left, and gives that."""

    async def ended(run: Run) -> None:
        async for _ in run.watch():
            pass

    waits = {asyncio.create_task(ended(run)): run for run in runs}
    left = set(waits)
    async with asyncio.timeout(PATIENCE):
        while len(left) > 1:
            _, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    (last,) = left
    last.cancel()
    return waits[last]


async def check_free(client: Client, *tokens: str) -> None:
    """Each token can be claimed at once, by somebody who is no worker."""
    run = await client.start("claimer", external=True, claims=[HookSpec(t) for t in tokens])
    await run.complete()
