"""Workflows of a worker in the test's process, while time is skipped."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from hookd import (
    InvalidArgumentError,
    RetryableError,
    create_hook,
    get_step_metadata,
    now,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from hookd_daemon.testing import LocalDaemon
from hookd_daemon.testing import time as testing_time

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def about(length: timedelta, expected: timedelta) -> bool:
    """Whether it took so long, and a little real time besides."""
    return expected <= length < expected + MINUTE


@step
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow
async def remind(name: str) -> list[datetime]:
    """Sleeps, does something, sleeps again."""
    times = [now()]
    await sleep("1d")
    times.append(now())
    await greet(name)
    await sleep("2h")
    times.append(now())
    return times


@workflow
async def approve(order: str) -> str:
    try:
        async with asyncio.timeout(3 * 86_400):
            return str(await create_hook(token=f"approval-{order}"))
    except TimeoutError:
        return "nobody came"


async def test_a_sleep_that_begins_on_the_way_ends_on_the_way(hookd: LocalDaemon) -> None:
    async with hookd.worker(remind, greet):
        # No turn has been taken yet: the skip begins after it.
        run = await start(remind, "ada")
        await hookd.skip("3d")
        assert await run.status() == "completed"
        begin, first, second = await run.return_value()
    assert about(first - begin, DAY)
    assert about(second - first, 2 * HOUR)
    assert hookd.now() >= begin + 3 * DAY


async def test_a_sleep_that_is_longer_does_not_end(hookd: LocalDaemon) -> None:
    async with hookd.worker(remind, greet):
        run = await start(remind, "ada")
        await hookd.skip(DAY + HOUR)
        assert await run.status() == "running"
        await hookd.skip(HOUR)
        assert await run.status() == "completed"


async def test_a_hook_against_a_deadline(hookd: LocalDaemon) -> None:
    async with hookd.worker(approve):
        in_time, too_late = await start(approve, "1"), await start(approve, "2")
        await hookd.skip("2d")
        await resume_hook("approval-1", "granted")
        await hookd.skip("2d")
        assert await in_time.return_value() == "granted"
        assert await too_late.return_value() == "nobody came"


async def test_auto_skip_needs_nothing_but_a_wait(hookd: LocalDaemon) -> None:
    async with hookd.worker(remind, greet, approve), hookd.auto_skip():
        run = await start(remind, "ada")
        begin, _, end = await run.return_value()
        assert about(end - begin, DAY + 2 * HOUR)
        assert await (await start(approve, "1")).return_value() == "nobody came"


async def test_retries_come_when_their_time_has_come(hookd: LocalDaemon) -> None:
    attempts: list[datetime] = []

    @step(max_retries=3)
    async def flaky() -> int:
        attempts.append(hookd.now())
        if len(attempts) < 3:
            raise RetryableError("not yet", retry_after="1h")
        return get_step_metadata().attempt

    @workflow
    async def patient() -> int:
        return await flaky()

    async with hookd.worker(patient, flaky):
        run = await start(patient)
        await hookd.skip("90m")
        assert await run.status() == "running"
        await hookd.skip("90m")
        assert await run.return_value() == 3
    assert about(attempts[1] - attempts[0], HOUR)
    assert about(attempts[2] - attempts[1], HOUR)


async def test_things_happen_in_the_order_of_their_time(hookd: LocalDaemon) -> None:
    done: list[int] = []

    @step
    async def note(number: int) -> None:
        done.append(number)

    @workflow
    async def later(number: int) -> None:
        await sleep(timedelta(hours=number))
        await note(number)

    async with hookd.worker(later, note):
        for number in (5, 3, 1, 4, 2):
            await start(later, number)
        await hookd.skip("3h")
        assert done == [1, 2, 3]
        await hookd.skip("1d")
        assert done == [1, 2, 3, 4, 5]


async def test_a_child_and_its_parent(hookd: LocalDaemon) -> None:
    @workflow
    async def parent() -> timedelta:
        begin = now()
        child = await start(remind, "ada")
        await child.return_value()
        await sleep(HOUR)
        return now() - begin

    async with hookd.worker(parent, remind, greet):
        run = await start(parent)
        await hookd.skip("2d")
        assert about(await run.return_value(), DAY + 3 * HOUR)


async def test_a_workflow_that_goes_on_for_ever(hookd: LocalDaemon) -> None:
    ticks = 0

    @step
    async def tick() -> None:
        nonlocal ticks
        ticks += 1

    @workflow
    async def clockwork() -> None:
        while True:
            await sleep(HOUR)
            await tick()

    async with hookd.worker(clockwork, tick):
        await start(clockwork)
        await hookd.skip("1d")
        # However long the steps really take between the hours.
        assert ticks == 24


class Slow:
    """A workflow with one step, which takes until ``go`` is set."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

        @step
        async def slow() -> int:
            self.begun.set()
            await self.go.wait()
            return get_step_metadata().attempt

        @workflow
        async def waits_for_it() -> tuple[int, timedelta]:
            begin = now()
            return await slow(), now() - begin

        self.step, self.workflow = slow, waits_for_it


async def test_time_stands_while_a_worker_is_at_something(
    hookd: LocalDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    async with hookd.worker(slow.workflow, slow.step):
        run = await start(slow.workflow)
        await slow.begun.wait()
        with monkeypatch.context() as patch:
            patch.setattr(testing_time, "PATIENCE_S", 0.1)
            with pytest.raises(TimeoutError, match=f'step "slow" of run {run.run_id} ') as caught:
                await hookd.skip("1d")
        assert "since " in str(caught.value)
        async with hookd.auto_skip():
            async with hookd.worker(approve):
                other = await start(approve, "1")
                await asyncio.sleep(0.1)
            assert await other.status() == "running"
        skipping = asyncio.ensure_future(hookd.skip("1d"))
        await asyncio.sleep(0.1)
        assert not skipping.done()
        slow.go.set()
        await skipping
        attempt, length = await run.return_value()
    assert attempt == 1
    assert length < MINUTE


async def test_what_workers_lease_does_not_lapse_by_skipped_time(hookd: LocalDaemon) -> None:
    slow = Slow()
    async with hookd.worker(slow.workflow, slow.step):
        run = await start(slow.workflow)
        await slow.begun.wait()
        # No skip does this while a worker is at something.
        hookd._clock.move_to(hookd._clock.now_ms() + 30 * 86_400_000)
        await hookd._here().time._sweeper.catch_up()
        slow.go.set()
        attempt, length = await run.return_value()
    assert attempt == 1
    assert about(length, 30 * DAY)


async def test_workers_keep_their_leases_by_real_time() -> None:
    slow = Slow()
    async with LocalDaemon(worker_lease=0.3) as hookd, hookd.worker(slow.workflow, slow.step):
        run = await start(slow.workflow)
        await slow.begun.wait()
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, slow.go.set)
        await hookd.skip("1d")
        attempt, _ = await run.return_value()
    assert attempt == 1


async def test_a_restart_in_the_middle_of_a_step(hookd: LocalDaemon) -> None:
    slow = Slow()
    async with hookd.worker(slow.workflow, slow.step):
        run = await start(slow.workflow)
        await slow.begun.wait()
        await hookd.restart()
        slow.go.set()
        attempt, _ = await run.return_value()
    assert attempt == 1


async def test_a_restart_in_the_middle_of_a_sleep(
    hookd: LocalDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.retry.Backoff.delay", lambda _: 0.5)
    async with hookd.worker(remind, greet):
        run = await start(remind, "ada")
        await hookd.skip("12h")
        await hookd.restart()
        # The worker is there again: what it does next is waited for.
        await hookd.skip("14h")
        await hookd.restart()
        assert await run.status() == "completed"
        begin, _, end = await run.return_value()
    assert about(end - begin, DAY + 2 * HOUR)


async def test_a_restart_while_waits_are_skipped(hookd: LocalDaemon) -> None:
    async with hookd.worker(remind, greet), hookd.auto_skip():
        run = await start(remind, "ada")
        await hookd.restart()
        begin, _, end = await run.return_value()
    assert about(end - begin, DAY + 2 * HOUR)


async def test_another_worker_goes_on(hookd: LocalDaemon) -> None:
    async with hookd.worker(remind, greet):
        run = await start(remind, "ada")
        await hookd.skip("12h")
    await hookd.skip("1d")
    assert await run.status() == "running"
    async with hookd.worker(remind, greet), hookd.auto_skip():
        begin, first, _ = await run.return_value()
    assert about(first - begin, DAY)


async def test_steps_of_a_worker_of_their_own(hookd: LocalDaemon) -> None:
    async with hookd.worker(remind) as one, hookd.worker(greet) as two:
        assert one.name != two.name
        run = await start(remind, "ada")
        await hookd.skip("3d")
        assert await run.status() == "completed"


async def test_what_nobody_serves_is_not_waited_for(hookd: LocalDaemon) -> None:
    run = await start(remind, "ada")
    await hookd.skip("1d")
    async with hookd.worker(remind):
        await hookd.skip("1d")
        assert await run.status() == "running"
        assert [wait.name for wait in await run.waits()] == ["greet"]


async def test_a_worker_that_cannot_serve_says_so(hookd: LocalDaemon) -> None:
    with pytest.raises(InvalidArgumentError, match="no @workflow"):
        async with hookd.worker():
            pass


async def test_ambient_functions_in_a_step_use_it(hookd: LocalDaemon) -> None:
    @step
    async def deliver() -> None:
        await resume_hook("approval-1", "granted")

    @workflow
    async def courier() -> None:
        await sleep("1d")
        await deliver()

    async with hookd.worker(courier, deliver, approve):
        run = await start(approve, "1")
        await start(courier)
        await hookd.skip("2d")
        assert await run.return_value() == "granted"
