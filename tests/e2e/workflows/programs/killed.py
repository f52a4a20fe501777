"""A workflow whose worker is killed while it is at one place or another."""

from __future__ import annotations

import os
from typing import Any

from hookd import (
    RetryPolicy,
    create_hook,
    get_step_metadata,
    sleep,
    step,
    unguarded,
    workflow,
)

from tests.e2e.workflows.programs.marks import mark, wait_at, wait_for_gate


@step
async def do(file: str, word: str) -> str:
    """Leaves a line for each execution."""
    mark(file, word)
    return word


@step
async def linger(file: str, gate: str) -> int:
    """Waits in a coroutine; gives the attempt."""
    mark(file, "linger")
    await wait_for_gate(gate)
    return get_step_metadata().attempt


@step
def linger_in_a_thread(file: str, gate: str) -> int:
    """Waits in a thread; gives the attempt."""
    mark(file, "linger")
    wait_at(gate)
    return get_step_metadata().attempt


@step(retry=RetryPolicy(initial_interval=0.7))
async def fail_first(file: str) -> int:
    """Fails once; gives the attempt."""
    mark(file, "linger")
    attempt = get_step_metadata().attempt
    if attempt == 1:
        raise ConnectionError("bad")
    return attempt


@workflow
async def work(place: str, file: str, gate: str, token: str) -> list[Any]:
    """Does a thing before and a thing after the place where its worker is killed."""
    got: list[Any] = [await do(file, "before")]
    match place:
        case "async step":
            got.append(await linger(file, gate))
        case "sync step":
            got.append(await linger_in_a_thread(file, gate))
        case "retry":
            got.append(await fail_first(file))
        case "sleep":
            await sleep(1.0)
        case "hook":
            got.append(await create_hook(token=token))
        case "turn":
            with unguarded():
                mark(file, "linger")
                wait_at(gate)
    got.append(await do(file, "after"))
    return got


@step
async def link(file: str, folder: str, number: int) -> int:
    """Waits at a gate of its own; gives the attempt."""
    mark(file, "began", number, os.getpid())
    await wait_for_gate(f"{folder}/gate-{number}")
    mark(file, "ended", number)
    return get_step_metadata().attempt


@workflow
async def chain(file: str, folder: str, count: int) -> list[int]:
    """Executes one step after the other."""
    return [await link(file, folder, number) for number in range(count)]


@workflow
async def contested(place: str, file: str, gate: str, token: str) -> list[Any]:
    """Goes on after the place where its worker falls asleep, and is still there when it is back."""
    got: list[Any] = [await do(file, "before")]
    match place:
        case "async step":
            got.append(await linger(file, gate))
        case "sync step":
            got.append(await linger_in_a_thread(file, gate))
        case "turn":
            with unguarded():
                mark(file, "linger")
                wait_at(gate)
    got.append(await do(file, "between"))
    got.append(await create_hook(token=token))
    got.append(await do(file, "after"))
    return got
