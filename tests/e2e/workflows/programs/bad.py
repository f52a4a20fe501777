"""Workflows and steps that do what they should not."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from hookd import (
    HookdError,
    HookPayloadError,
    WorkflowRuleError,
    create_hook,
    sleep,
    step,
    unguarded,
    workflow,
)

from tests.e2e.workflows.programs.hooks import Approval
from tests.e2e.workflows.programs.marks import mark


class NothingJsonKnows:
    """A value that cannot be carried."""


@workflow
async def raises(token: str) -> None:
    """Raises, while it holds a token."""
    create_hook(token=token)
    raise ZeroDivisionError("as bad as it gets")


@workflow
async def raises_before_anything() -> None:
    """Raises in its first turn, without having asked for anything."""
    raise KeyError("early")


@workflow
async def returns_what_cannot_be_carried() -> Any:
    """Returns an object."""
    return NothingJsonKnows()


@workflow
async def returns_another_type() -> int:
    """Returns what its annotation does not say."""
    result: Any = "seven"
    return result  # type: ignore[no-any-return]


@step
async def return_an_object(file: str) -> Any:
    """Returns an object."""
    mark(file, "executed")
    return NothingJsonKnows()


@workflow
async def step_returns_what_cannot_be_carried(file: str) -> list[str]:
    """Executes a step whose result cannot be carried."""
    try:
        await return_an_object(file)
    except HookdError as error:
        return [type(error).__name__, str(error)]
    return []


@step
async def take_a_path(path: Path) -> str:
    """Takes something that can be carried."""
    return str(path)


@workflow
async def hands_over_what_cannot_be_carried() -> list[str]:
    """Calls a step with arguments that cannot be carried, or are of another type."""
    told = []
    wrong: list[Any] = [NothingJsonKnows(), 42]
    for value in wrong:
        try:
            await take_a_path(value)
        except HookdError as error:
            told.append(f"{type(error).__name__}: {error}")
    told.append(await take_a_path(Path("a/b")))
    return told


@workflow
async def never_awaits() -> None:
    """Computes for ever."""
    while True:
        pass


@workflow
async def forgets_a_task(token: str) -> str:
    """Spawns a task, and returns before that has done anything."""

    async def forgotten() -> None:
        await create_hook(token=token)

    task = asyncio.create_task(forgotten(), name="the-forgotten-one")
    await sleep(0.01)
    return f"{task.done()}"


@workflow
async def forgets_a_task_that_raises(token: str) -> str:
    """Spawns a task that raises while nobody looks."""

    async def failing() -> None:
        raise LookupError("nobody looks")

    tasks = [asyncio.create_task(failing(), name="the-failing-one")]
    return f"{len(tasks)} {await create_hook(token=token)}"


#: What one run leaves for another in the same process.
_LEFT: list[Any] = []


@workflow
async def leaves_its_hook(token: str) -> Any:
    """Gives its hook away."""
    hook = create_hook(token=token)
    _LEFT.append(hook)
    return await hook


@workflow
async def takes_a_hook_of_another_run(how: str) -> str:
    """Uses a hook that belongs to another run."""
    hook = _LEFT[-1]
    try:
        if how == "await":
            await hook
        elif how == "dispose":
            hook.dispose()
        else:
            await hook.get_conflict()
    except HookdError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was said"


@workflow
async def takes_approvals(token: str) -> list[Any]:
    """Goes on when a payload does not fit."""
    hook = create_hook(token=token, type=Approval)
    got: list[Any] = []
    while len(got) < 3:
        try:
            approval = await hook
        except HookPayloadError as error:
            got.append([error.token, error.value, error.problem])
        else:
            got.append([approval.by, approval.amount])
    return got


@workflow
async def takes_an_approval(token: str) -> str:
    """Fails when the payload does not fit."""
    approval = await create_hook(token=token, type=Approval)
    return approval.by


@workflow
async def swallows_everything(token: str) -> str:
    """Catches what it should not, again and again."""
    hook = create_hook(token=token)
    for _ in range(3):
        try:
            return str(await hook)
        except BaseException:  # noqa: BLE001 - that is what is bad about it
            continue
    return "gave up"


@workflow
async def breaks_the_rules(file: str) -> dict[str, str]:
    """Calls what blocks, or is not the same in a replay; tells what it was told."""
    told: dict[str, str] = {}
    for name, call in {
        "time.time": time.time,
        "time.sleep": lambda: time.sleep(0.001),
        "random": random.random,
        "uuid4": uuid.uuid4,
        "open": lambda: Path(file).open(),  # noqa: SIM115 - it is never opened
        "thread": threading.Thread(target=print).start,
    }.items():
        try:
            call()
        except WorkflowRuleError as error:
            told[name] = error.hint
    try:
        await asyncio.sleep(0.001)
    except WorkflowRuleError as error:
        told["asyncio.sleep"] = error.hint
    with unguarded():
        told["unguarded"] = str(time.time() > 0)
    return told
