"""Workers that stop, are killed, lose their daemon, and share their work."""

from __future__ import annotations

import asyncio
import signal

import hookd
import pytest

from tests.e2e.worker import app
from tests.e2e.worker.app import lines
from tests.e2e.worker.conftest import go
from tests.support.concurrency import eventually


async def begun(folder: str, times: int = 1) -> list[str]:
    """Waits until steps have begun so often."""
    return await asyncio.to_thread(eventually, lambda: reached(folder, times))


def reached(folder: str, times: int) -> list[str]:
    found = lines(folder, "begun")
    return found if len(found) >= times else []


async def test_a_worker_that_stops_lets_its_steps_finish(worker, client, folder):
    process = worker()
    runs = [await client.start(each, folder) for each in (app.wait, app.wait_thread)]
    await begun(folder, 2)
    process.signal(signal.SIGTERM)
    process.said("Got SIGTERM")
    process.said("Stopping")
    # What comes now is for others.
    late = await client.start(app.compute, 1)
    go(folder)
    assert process.wait() == 0
    worker()
    for run in runs:
        assert await run.return_value(timeout=30) == 1
    assert await late.return_value(timeout=30) == 5
    assert len(lines(folder, "begun")) == 2


async def test_a_worker_that_stops_keeps_its_steps_for_as_long_as_it_takes(worker, client, folder):
    """Although its stream has ended, nobody else is given what it is at."""
    stopping = worker()
    run = await client.start(app.wait, folder)
    await begun(folder)
    worker()
    stopping.signal(signal.SIGTERM)
    stopping.said("Stopping")
    # Longer than the daemon waits for a worker that is gone.
    await (await client.start(app.nap, 3.5)).return_value(timeout=60)
    go(folder)
    assert stopping.wait() == 0
    assert await run.return_value(timeout=30) == 1
    assert len(lines(folder, "begun")) == 1


async def test_a_worker_that_stops_is_told_what_nobody_needs(worker, client, folder):
    process = worker()
    run = await client.start(app.wait, folder)
    await begun(folder)
    process.signal(signal.SIGTERM)
    process.said("Stopping")
    await run.cancel()
    assert process.wait() == 0
    process.said("is cancelled: nobody needs its result any more")
    assert lines(folder, "cancelled") == ["1"]


async def test_an_idle_worker_stops_at_once(worker):
    process = worker()
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    process.said("Got SIGINT")


async def test_what_is_not_done_in_time_is_handed_back(worker, client, folder, shared_daemon):
    """Another worker has the steps at once, and it costs no retry."""
    process = worker(":impatient")
    runs = [await client.start(each, folder) for each in (app.wait, app.wait_thread)]
    await begun(folder, 2)
    assert process.terminate() == 0
    assert sorted(lines(folder, "cancelled")) == ["1", "1"]
    assert process.log.count("is handed back") == 2
    worker()
    await begun(folder, 4)
    go(folder)
    for run in runs:
        assert await run.return_value(timeout=30) == 2
        assert "step_retrying" not in [event.type async for event in run.events()]
        told = [line for line in shared_daemon.log.splitlines() if run.run_id in line]
        assert not [line for line in told if "lease lapsed" in line]


async def test_a_thread_that_hangs_does_not_keep_a_worker_from_ending(worker, client, folder):
    process = worker(":impatient")
    run = await client.start(app.wait_hanging, folder)
    await begun(folder)
    assert process.terminate() == 0
    worker()
    await begun(folder, 2)
    go(folder)
    assert await run.return_value(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_a_worker_at_once(worker, client, folder, number):
    process = worker()
    await client.start(app.wait, folder)
    await begun(folder)
    process.signal(number)
    process.said(f"Got {number.name}")
    process.signal(number)
    assert process.wait() == -number
    assert "Traceback" not in process.log


async def test_a_worker_comes_back_to_its_daemon(daemon, worker, project, folder):
    """The daemon is killed while a step runs: its result is used all the same."""
    process = worker(daemon=daemon)
    async with hookd.connect(daemon.address, project=project) as client:
        runs = [await client.start(each, folder) for each in (app.wait, app.wait_thread)]
        await begun(folder, 2)
        daemon.kill()
        process.said("The daemon at ")
        # The steps end while nobody is there to hear it.
        go(folder)
        process.said("step wait_for_go (step-1) has completed")
        process.said("step wait_in_thread (step-1) has completed")
        daemon.start()
        process.said("is back after")
        for run in runs:
            assert await run.return_value(timeout=60) == 1
        assert len(lines(folder, "begun")) == 2
        assert await (await client.start(app.compute, 1)).return_value(timeout=30) == 5


async def test_a_worker_waits_for_a_daemon_that_is_not_there_yet(daemon, worker, project):
    process = worker(daemon=daemon)
    process.kill()
    daemon.kill()
    process.spawn()
    process.said("is not there yet: hookd at")
    daemon.start()
    assert project in process.said("Connected to ", 2)
    assert "is back" not in process.log
    async with hookd.connect(daemon.address, project=project) as client:
        assert await (await client.start(app.compute, 1)).return_value(timeout=30) == 5


async def test_a_killed_worker_is_replaced(impatient_daemon, worker, project, folder):
    first = worker(daemon=impatient_daemon)
    async with hookd.connect(impatient_daemon.address, project=project) as client:
        run = await client.start(app.wait, folder)
        waiting = await client.start(app.approve, "token", folder)
        await begun(folder)
        await client.resume_hook("token", "one", wait=30)
        first.kill()
        worker(daemon=impatient_daemon)
        await begun(folder, 2)
        go(folder)
        assert await run.return_value(timeout=30) == 2
        await client.resume_hook("token", "two")
        assert await waiting.return_value(timeout=30) == ["one", "two", "finally"]
        assert lines(folder, "left") == ["token"]


async def test_two_workers_share_the_work(worker, client, folder):
    """Each takes one step at a time, and both steps must be under way together."""
    worker(":narrow")
    worker(":narrow")
    run = await client.start(app.together, folder, 2)
    found = await run.return_value(timeout=60)
    assert len(set(found)) == 2


async def test_workflows_and_steps_in_workers_of_their_own(worker, client):
    worker(":only_workflows")
    worker(":only_steps")
    run = await client.start(app.compute, 3)
    assert await run.return_value(timeout=30) == 9


async def test_running_steps_are_cancelled_with_their_run(worker, client, folder):
    process = worker()
    runs = [await client.start(each, folder) for each in (app.wait, app.wait_thread)]
    await begun(folder, 2)
    for run in runs:
        await run.cancel("enough")
        process.said(f"run {run.run_id}: step ")
    await asyncio.to_thread(eventually, lambda: len(lines(folder, "cancelled")) == 2)
    process.said("is cancelled: nobody needs its result any more", times=2)
    assert "handed back" not in process.log
    for run in runs:
        assert [event.type async for event in run.events()][-1] == "run_cancelled"
    # The worker is well, and has room.
    assert await (await client.start(app.compute, 1)).return_value(timeout=30) == 5


async def test_a_turn_that_never_awaits_is_reported_and_ended(worker, client, folder):
    process = worker(":watchful")
    stuck = [await client.start(app.spin, folder) for _ in range(2)]
    for run in stuck:
        line = process.said(f"run {run.run_id}: the workflow has been running for")
        assert "without an await" in line
    assert "in spin" in process.log
    # All threads are at it, and still the worker is there.
    with_result = await client.start(app.compute, 1)
    for run in stuck:
        with pytest.raises(hookd.RunFailedError, match="never awaits") as caught:
            await run.return_value(timeout=60)
        assert caught.value.type == "WorkflowRuleError"
    assert await with_result.return_value(timeout=60) == 5
