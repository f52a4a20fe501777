"""Workflows that tidy up on their way out."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hookd import create_hook, sleep, step, unguarded, workflow

from tests.e2e.workflows.programs.marks import mark


def leave_mark(file: str, word: str) -> None:
    """Leaves a line each time the code gets here, in a replay as well."""
    with unguarded():
        mark(file, word)


@asynccontextmanager
async def room(file: str, name: str) -> AsyncIterator[None]:
    """Tells of each time it is entered and left."""
    leave_mark(file, f"enter {name}")
    try:
        yield
    finally:
        leave_mark(file, f"leave {name}")


@workflow
async def tidy(file: str, token: str) -> list[Any]:
    """Takes payloads inside of all that runs code on the way out."""
    got: list[Any] = []
    try:
        async with room(file, "room"), create_hook(token=token) as hook:
            async for payload in hook:
                got.append(payload)
                if payload == "done":
                    break
                if payload == "raise":
                    raise LookupError("asked for")  # noqa: TRY301 - it has a way out to go
    except BaseException as error:
        leave_mark(file, f"except {type(error).__name__}")
        raise
    else:
        leave_mark(file, "else")
    finally:
        leave_mark(file, "finally")
        # An await on the way out: what comes after it happens as well, once.
        await sleep(0.01)
        leave_mark(file, "finally, later")
    return got


@workflow
async def tidy_tasks(file: str, token: str) -> str:
    """Waits in tasks that tidy up; the first payload ends one of them and cancels the other."""
    first, second = create_hook(token=f"{token}/1"), create_hook(token=f"{token}/2")

    async def take(name: str, hook: Any) -> Any:
        try:
            return await hook
        except asyncio.CancelledError:
            leave_mark(file, f"cancelled {name}")
            raise
        finally:
            leave_mark(file, f"finally {name}")

    tasks = [asyncio.create_task(take("1", first)), asyncio.create_task(take("2", second))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    leave_mark(file, "end")
    return f"{[task.result() for task in done]}"


@step
def collect_garbage() -> int:
    """Has Python free what nobody holds, as it does sooner or later."""
    return gc.collect()


@workflow
async def free_memory() -> int:
    """Has the worker free what its runs have left behind."""
    return await collect_garbage()
