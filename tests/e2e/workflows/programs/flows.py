"""What people build with tokens, each flow written as a workflow."""

from __future__ import annotations

import asyncio
from typing import Any

import hookd
from hookd import HookConflictError, create_hook, get_writable, sleep, step, workflow

from tests.e2e.workflows.programs.marks import mark


@step
async def result_of(run_id: str) -> Any:
    """Waits for another run, and gives its result."""
    return await hookd.get_run(run_id).return_value(60)


@step
async def ended(run_id: str) -> str:
    """Waits until another run has ended, however it does."""
    run = hookd.get_run(run_id)
    async for _ in run.watch():
        pass
    return await run.status()


@step
async def cancel(run_id: str, reason: str) -> None:
    """Cancels another run."""
    await hookd.get_run(run_id).cancel(reason)


@step
async def forward(token: str, payload: Any, payload_id: str) -> str:
    """Delivers a payload to whoever has the token, twice as after a lost answer."""
    await hookd.resume_hook(token, payload, payload_id=payload_id)
    return (await hookd.resume_hook(token, payload, payload_id=payload_id)).run_id


@step
async def read_all(run_id: str) -> list[Any]:
    """Reads what another run writes, up to the end."""
    return [chunk async for chunk in hookd.get_run(run_id).readable()]


@workflow
async def once_per_order(order: str) -> dict[str, Any]:
    """Works on an order, unless another run does."""
    try:
        payment = await create_hook(token=order)
    except HookConflictError as conflict:
        return {"duplicate_of": conflict.conflicting_run_id}
    return {"payment": payment}


@workflow
async def report(token: str) -> Any:
    """Makes a report, or adopts that of the run that is at it."""
    hook = create_hook(token=token)
    if (owner := await hook.get_conflict()) is not None:
        return await result_of(owner.run_id)
    return {"report": await hook}


@workflow
async def inbox(token: str, me: int, count: int) -> Any:
    """Collects what all bring, or hands over what this one brings."""
    hook = create_hook(token=token)
    if (owner := await hook.get_conflict()) is not None:
        told = await forward(token, me, f"from-{me}")
        assert told == owner.run_id
        return "forwarded"
    return sorted([await hook for _ in range(count)])


@workflow
async def chat(token: str) -> list[Any]:
    """Answers in a stream, or shows what the one writes that has the token."""
    hook = create_hook(token=token)
    if (owner := await hook.get_conflict()) is not None:
        return await read_all(owner.run_id)
    writable = get_writable()
    said = []
    async for word in hook:
        if word is None:
            break
        await writable.write({"word": word})
        said.append({"word": word})
    return said


@workflow
async def deploy(token: str) -> Any:
    """Takes the place of whoever has the token."""
    hook = create_hook(token=token)
    while (owner := await hook.get_conflict()) is not None:
        await cancel(owner.run_id, "superseded")
        hook = create_hook(token=token)
    return await hook


@workflow
async def cart(token: str, most: int) -> list[Any]:
    """Takes so many payloads, closes, and takes what came meanwhile."""
    hook = create_hook(token=token)
    items = [await hook for _ in range(most)]
    hook.dispose()
    items += [item async for item in hook]
    return items


@step
async def be_inside(file: str, who: str) -> None:
    """Is in the critical section."""
    mark(file, "in", who)
    await asyncio.sleep(0.005)
    mark(file, "out", who)


@workflow
async def exclusive(token: str, file: str, who: str) -> str:
    """Holds a lock until it ends; who comes meanwhile waits for the end of this run."""
    while True:
        hook = create_hook(token=token)
        owner = await hook.get_conflict()
        if owner is None:
            await be_inside(file, who)
            return who
        await ended(owner.run_id)


@workflow
async def exclusive_again(token: str, file: str, who: str, times: int) -> str:
    """Holds a lock several times, and gives it back each time."""
    done = 0
    while done < times:
        async with create_hook(token=token) as lock:
            if await lock.get_conflict() is None:
                await be_inside(file, who)
                done += 1
                continue
        await sleep(0.02)
    return who
