"""Code of workflows against recorded logs."""

from __future__ import annotations

import asyncio
import json

import pytest
from hookd import (
    InvalidArgumentError,
    NonDeterminismError,
    Run,
    RunNotFoundError,
    create_hook,
    get_run,
    random,
    resume_hook,
    sleep,
    start,
    step,
    uuid4,
    workflow,
)
from hookd.v1.run_service_pb2 import GetRunRequest
from hookd.workflows.definition import Workflow
from hookd.workflows.replay import export_log, replay
from hookd_daemon.testing import LocalDaemon

executed: list[str] = []


@step
async def pay(order: str) -> int:
    executed.append(order)
    return 42


@step
async def ship(order: str) -> None: ...


def shop(change: str = "") -> Workflow[[str], int]:
    @workflow(name="shop")
    async def code(order: str) -> int:
        if change == "ships first":
            await ship(order)
        price = await pay(order)
        if change != "never sleeps":
            await sleep("1d")
        try:
            async with create_hook() as hook:
                await resume(hook.token)
                price += await hook
            if change == "waits again":
                await sleep("1d")
        finally:
            executed.append("finally")
        return price

    return code


@step
async def resume(token: str) -> None:
    await resume_hook(token, 1)


async def _recorded(hookd: LocalDaemon) -> Run:
    work = shop()
    async with hookd.worker(work, pay, ship, resume):
        run = await start(work, "order-1")
        await hookd.skip("1d")
        assert await run.return_value() == 43
    return run


async def test_code_that_is_the_same(hookd: LocalDaemon) -> None:
    log = await export_log(await _recorded(hookd))
    executed.clear()
    replay(shop(), log)
    await asyncio.to_thread(replay, shop(), log)
    # Its code, to the end, and no step.
    assert executed == ["finally"] * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("ships first", r'event 3 is step_scheduled \("pay", step-1\).*step "ship"'),
        ("never sleeps", r"is timer_started \(timer-1\).*created a hook \(hook-1\)"),
        ("waits again", r"is run_completed.*started a timer \(timer-2\) at .*test_replay.py"),
    ],
)
async def test_code_that_does_something_else(change: str, text: str, hookd: LocalDaemon) -> None:
    log = await export_log(await _recorded(hookd))
    with pytest.raises(NonDeterminismError, match=text):
        replay(shop(change), log)


async def test_what_is_random_is_as_it_was(hookd: LocalDaemon) -> None:
    @workflow
    async def dice() -> None:
        await sleep("1d")
        tasks = [asyncio.create_task(sleep(random().randint(60, 90))) for _ in range(5)]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        create_hook(token=f"dice-{uuid4()}")
        await sleep(random().choice([0, 1]))

    async with hookd.worker(dice), hookd.auto_skip():
        runs = [await start(dice) for _ in range(10)]
        for run in runs:
            await run.return_value()
            replay(dice, await export_log(run))


async def test_a_run_that_is_open(hookd: LocalDaemon) -> None:
    work = shop()
    async with hookd.worker(work, pay):
        run = await start(work, "order-1")
        await hookd.settle()
    log = await export_log(run)
    assert await run.status() == "running"
    executed.clear()
    replay(shop("waits again"), log)
    assert executed == []
    with pytest.raises(NonDeterminismError):
        replay(shop("never sleeps"), log)


async def test_a_log_of_many_pages(hookd: LocalDaemon) -> None:
    @workflow
    async def many() -> None:
        await asyncio.gather(*(pay(str(number)) for number in range(400)))

    async with hookd.worker(many, pay):
        run = await start(many)
        await run.return_value()
    log = await export_log(run)
    assert len(json.loads(log)["events"]) > 800
    replay(many, log)


async def test_what_is_no_log(hookd: LocalDaemon) -> None:
    with pytest.raises(RunNotFoundError):
        await export_log(get_run("nobody"))
    for text in ("", "[]", "{}", '{"project": "p", "run_id": "r", "events": [{"so": 1}]}'):
        with pytest.raises(InvalidArgumentError, match="export_log"):
            replay(shop(), text)
    log = json.loads(await export_log(await _recorded(hookd)))
    del log["events"][1]
    with pytest.raises(InvalidArgumentError, match="from the first on"):
        replay(shop(), json.dumps(log))


async def test_the_seed_is_told_to_who_asks_for_it(hookd: LocalDaemon) -> None:
    run = await start(shop(), "order-1")
    transport = run._transport
    for asked, length in ((True, 32), (False, 0)):
        for with_waits in (True, False):
            request = GetRunRequest(
                project=run.project, run_id=run.run_id, with_seed=asked, with_waits=with_waits
            )
            response = await transport.call(transport.runs.GetRun, request)
            assert len(response.seed) == length
