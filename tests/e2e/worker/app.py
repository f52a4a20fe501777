"""What the workers of these tests serve.

Steps tell the test what they do through files: ``begun`` and ``ended`` grow by
a line, and a step that waits goes on when there is a file ``go``.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from hookd import (
    FatalError,
    RetryableError,
    Worker,
    create_hook,
    get_step_metadata,
    sleep,
    step,
    workflow,
)


def note(folder: str, name: str, text: str = "") -> None:
    """Adds a line to a file."""
    with Path(folder, name).open("a") as file:
        file.write(f"{text}\n")


def lines(folder: str, name: str) -> list[str]:
    """What was noted in a file."""
    file = Path(folder, name)
    return file.read_text().splitlines() if file.exists() else []


def is_there(folder: str, name: str) -> bool:
    return Path(folder, name).exists()


@step
async def double(number: int) -> int:
    return number * 2


@step
def increase(number: int) -> int:
    return number + 1


@workflow
async def compute(number: int) -> int:
    """Three steps, one after the other."""
    return await increase(await double(await increase(number)))


@step
async def wait_for_go(folder: str) -> int:
    """Waits in a coroutine; gives its attempt."""
    attempt = get_step_metadata().attempt
    note(folder, "begun", f"{os.getpid()} {attempt}")
    try:
        while not is_there(folder, "go"):  # noqa: ASYNC110 - a test touches it
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note(folder, "cancelled", str(attempt))
        raise
    return attempt


@step
def wait_in_thread(folder: str) -> int:
    """Waits in a thread, and looks whether it is still needed; gives its attempt."""
    here = get_step_metadata()
    note(folder, "begun", f"{os.getpid()} {here.attempt}")
    while not is_there(folder, "go"):
        if here.cancelled.wait(0.01):
            note(folder, "cancelled", str(here.attempt))
            return -1
    return here.attempt


@step
def hang(folder: str) -> int:
    """Waits in a thread and never looks."""
    note(folder, "begun", str(os.getpid()))
    while not is_there(folder, "go"):
        time.sleep(0.01)
    return 0


@workflow
async def wait(folder: str) -> int:
    return await wait_for_go(folder)


@workflow
async def wait_thread(folder: str) -> int:
    return await wait_in_thread(folder)


@workflow
async def wait_hanging(folder: str) -> int:
    return await hang(folder)


@workflow
async def approve(token: str, folder: str) -> list[str]:
    """Takes two payloads, with code around them that must run once."""
    found = []
    try:
        async with create_hook(token=token) as hook:
            found.append(await hook)
            found.append(await hook)
    finally:
        found.append("finally")
        await leave(folder, token)
    return found


@step
def leave(folder: str, token: str) -> None:
    note(folder, "left", token)


@step(max_retries=2)
async def flaky(folder: str) -> int:
    attempt = get_step_metadata().attempt
    if attempt == 1:
        raise RetryableError("not yet\nnot now", retry_after=0.01)
    if attempt == 2:
        raise RetryableError(retry_after=0)
    return attempt


@step
def refuse() -> None:
    raise FatalError("no way")


@workflow
async def retry(folder: str) -> int:
    return await flaky(folder)


@workflow
async def fail() -> None:
    await refuse()


@workflow
async def spin(folder: str) -> None:
    """Never awaits, and catches whatever is thrown at it a few times."""
    for _ in range(2):
        try:
            while True:
                pass
        except Exception:  # noqa: BLE001 - it is a bad example
            continue


@workflow
async def many_steps(count: int) -> int:
    return sum(await asyncio.gather(*(double(number) for number in range(count))))


@workflow
async def many_hooks(prefix: str, count: int) -> str:
    """Only the first of its hooks is awaited: nothing wakes it for the others."""
    hooks = [create_hook(token=f"{prefix}{number}") for number in range(count)]
    return await hooks[0]


@step
async def unreadable() -> object:
    return object()


@step
async def measure(text: str) -> int:
    return len(text)


@workflow
async def ask(size: int) -> int:
    return await measure("x" * size)


@workflow
async def nap(seconds: float) -> None:
    await sleep(seconds)


@step
async def huge(size: int) -> str:
    return "x" * size


@workflow
async def carry(what: str) -> int:
    if what == "unreadable":
        await unreadable()
    return len(await huge(int(what)))


@workflow
async def forget() -> str:
    asyncio.create_task(sleep(3600), name="left-behind")  # noqa: RUF006 - that is forgotten
    return "done"


@step
async def meet(folder: str, count: int) -> int:
    """Waits until so many others have come; gives the process."""
    note(folder, "came", str(os.getpid()))
    while len(lines(folder, "came")) < count:  # noqa: ASYNC110 - others write to it
        await asyncio.sleep(0.01)
    return os.getpid()


@workflow
async def together(folder: str, count: int) -> list[int]:
    return await asyncio.gather(*(meet(folder, count) for _ in range(count)))


everything = [value for value in list(vars().values()) if hasattr(value, "signature")]
impatient = Worker(everything, step_grace=0.2)
watchful = Worker(everything, turn_timeout=1, max_turns=2)
forgetful = Worker(everything, max_cached_runs=1)
forgetting = Worker(everything, max_cached_runs=0)
narrow = Worker(everything, max_turns=1, max_steps=1)
only_workflows = [value for value in everything if hasattr(value, "workflow_name")]
only_steps = [value for value in everything if hasattr(value, "step_name")]


@step
async def hog(seconds: float) -> int:
    """Blocks the worker it is executed by, as a forgotten ``requests.get`` would."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is the mistake
    return get_step_metadata().attempt


@workflow
async def hogging(seconds: float) -> int:
    return await hog(seconds)
