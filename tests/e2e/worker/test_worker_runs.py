"""A worker process does its work: turns, steps, logs, and what cannot be carried."""

from __future__ import annotations

import asyncio

import hookd
import pytest

from tests.e2e.worker import app
from tests.e2e.worker.app import lines


async def test_three_steps(worker, client):
    process = worker(":everything", "--log-level=debug")
    run = await client.start(app.compute, 1)
    assert await run.return_value(timeout=30) == 5
    kinds = [event.type async for event in run.events()]
    assert kinds == [
        "run_created",
        "run_started",
        *["step_scheduled", "step_completed"] * 3,
        "run_completed",
    ]
    process.said("Serves the workflows ")
    process.said(f"run {run.run_id}: step double (step-2) begins, attempt 1")
    process.said(f"run {run.run_id}: step double (step-2) has completed in ")
    process.said(f'run {run.run_id}: workflow "compute" has completed')


async def test_many_runs_at_once(worker, client):
    worker()

    async def one(number: int) -> int:
        return await (await client.start(app.compute, number)).return_value(timeout=60)

    found = await asyncio.gather(*(one(number) for number in range(60)))
    assert found == [(number + 1) * 2 + 1 for number in range(60)]


async def test_tokens_are_in_no_log(worker, client, folder):
    process = worker(":everything", "--log-level=debug")
    run = await client.start(app.approve, "s3cret-token", folder)
    for payload in ("one", "two"):
        await client.resume_hook("s3cret-token", payload, wait=30)
    assert await run.return_value(timeout=30) == ["one", "two", "finally"]
    process.said("has completed")
    assert "s3cret-token" not in process.log


async def test_retries_and_failures_are_logged(worker, client, folder):
    process = worker()
    run = await client.start(app.retry, folder)
    assert await run.return_value(timeout=30) == 3
    about = f"run {run.run_id}: step flaky (step-1) has failed at attempt"
    line = process.said(f"{about} 1")
    assert line.endswith("RetryableError: not yet not now; it is tried again in about 0.01 s")
    process.said(f"{about} 2")
    failing = await client.start(app.fail)
    with pytest.raises(hookd.RunFailedError, match="no way"):
        await failing.return_value(timeout=30)
    line = process.said(f"run {failing.run_id}: step refuse (step-1) has failed at attempt 1")
    assert line.endswith("FatalError: no way; another attempt would fail as well")
    process.said(f'run {failing.run_id}: workflow "fail" has failed: FatalError: no way')


async def test_input_that_does_not_fit_fails_the_run(worker, client):
    worker()
    run = await client.start("compute", "one")
    with pytest.raises(hookd.RunFailedError) as caught:
        await run.return_value(timeout=30)
    assert caught.value.type == "InvalidArgumentError"
    assert 'compute(): argument "number"' in caught.value.message


async def test_a_result_that_cannot_be_carried_fails_the_step_for_good(worker, client):
    process = worker()
    run = await client.start(app.carry, "unreadable")
    with pytest.raises(hookd.RunFailedError) as caught:
        await run.return_value(timeout=30)
    assert "unreadable(): its result" in caught.value.message
    process.said("step unreadable (step-1) has failed at attempt 1")
    assert "attempt 2" not in process.log


async def test_a_result_that_the_daemon_does_not_take_fails_the_step_for_good(worker, client):
    process = worker()
    run = await client.start(app.carry, str(14 * 1024 * 1024))
    with pytest.raises(hookd.RunFailedError):
        await run.return_value(timeout=60)
    process.said("step huge (step-1) has failed: its result is refused")
    kinds = [event.type async for event in run.events()]
    assert kinds.count("step_failed") == 1
    assert "step_retrying" not in kinds
    small = await client.start(app.carry, "1000")
    assert await small.return_value(timeout=30) == 1000


async def test_a_command_that_the_daemon_does_not_take_fails_the_run(worker, client):
    process = worker()
    run = await client.start(app.ask, 6 * 1024 * 1024)
    with pytest.raises(hookd.RunFailedError) as caught:
        await run.return_value(timeout=60)
    assert 'the daemon refuses step "measure" (step-1)' in caught.value.message
    process.said(f'run {run.run_id}: workflow "ask" has failed: InvalidArgumentError: the daemon')
    small = await client.start(app.ask, 3 * 1024 * 1024)
    assert await small.return_value(timeout=60) == 3 * 1024 * 1024


async def test_more_commands_than_one_request_takes(worker, client):
    worker()
    run = await client.start(app.many_hooks, "hook-", 2500)
    await client.get_hook_by_token("hook-2499", wait=60)
    await client.resume_hook("hook-0", "on")
    assert await run.return_value(timeout=60) == "on"
    kinds = [event.type async for event in run.events()]
    assert kinds.count("hook_created") == 2500


async def test_a_fan_out_of_steps(worker, client):
    worker()
    steps = await client.start(app.many_steps, 100)
    assert await steps.return_value(timeout=100) == sum(2 * number for number in range(100))


async def test_a_forgotten_task_is_reported(worker, client):
    process = worker()
    run = await client.start(app.forget)
    assert await run.return_value(timeout=30) == "done"
    line = process.said(f'run {run.run_id}: workflow "forget" has ended without its task')
    assert "left-behind" in line


@pytest.mark.parametrize("target", [":forgetful", ":forgetting", ":narrow"])
async def test_runs_that_are_not_kept_in_memory_are_replayed(worker, client, folder, target):
    """Whatever is forgotten between turns, ``finally`` runs once, when it is its turn."""
    worker(target)
    tokens = [f"token-{number}" for number in range(6)]
    runs = [await client.start(app.approve, token, folder) for token in tokens]
    for payload in ("one", "two"):
        for token in tokens:
            await client.resume_hook(token, payload, wait=30)
    for run in runs:
        assert await run.return_value(timeout=30) == ["one", "two", "finally"]
    assert sorted(lines(folder, "left")) == tokens
