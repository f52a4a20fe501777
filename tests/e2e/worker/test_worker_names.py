"""Names that nobody serves: the run waits, and hookctl says for what."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.worker import app
from tests.e2e.worker.conftest import go
from tests.support.concurrency import eventually
from tests.support.worker import HOOKCTL


@pytest.fixture
def hookctl(shared_daemon, project) -> Callable[..., str]:
    """Calls hookctl, and gives what it prints."""

    def call(*words: str) -> str:
        command = [HOOKCTL, f"--address={shared_daemon.address}", f"--project={project}", *words]
        return subprocess.run(
            command, capture_output=True, check=True, timeout=60, text=True
        ).stdout

    return call


async def saying(call: Callable[[], str], *words: str) -> str:
    """Waits until hookctl says something; gives what it said."""

    def look() -> str:
        found = call()
        return found if all(word in found for word in words) else ""

    return await asyncio.to_thread(eventually, look)


async def test_a_workflow_that_nobody_serves(worker, client, hookctl):
    run = await client.start(app.compute, 1)
    shown = await saying(lambda: hookctl("runs", "get", run.run_id), "waits for")
    assert 'a worker that serves the workflow "compute" (none is connected)' in shown
    queues = hookctl("queues")
    (row,) = [line for line in queues.splitlines() if "compute" in line]
    assert row.split()[:4] == ["workflow", "compute", "1", "0"]
    assert "nobody serves it" in row
    (found,) = json.loads(hookctl("--json", "queues"))
    assert (found["kind"], found["name"], found["workers"]) == ("workflow", "compute", [])
    (queue,) = await client.list_queues()
    assert (queue.waiting, queue.leased, queue.workers) == (1, 0, ())
    worker()
    assert await run.return_value(timeout=30) == 5
    assert await run.waits() == []
    assert "waits for" not in hookctl("runs", "get", run.run_id)


async def test_a_step_that_nobody_serves(worker, client, hookctl):
    first = worker(":only_workflows")
    run = await client.start(app.compute, 1)
    shown = await saying(lambda: hookctl("runs", "get", run.run_id), 'the step "increase"')
    assert 'a worker that serves the step "increase" (none is connected)' in shown
    (wait,) = await run.waits()
    assert (wait.kind, wait.name, wait.unserved, wait.attempt) == ("step", "increase", True, 0)
    queues = {queue.name: queue for queue in await client.list_queues()}
    assert queues["compute"].workers == (first.name,)
    assert queues["increase"].workers == ()
    worker(":only_steps")
    assert await run.return_value(timeout=30) == 5


async def test_what_runs_wait_for(worker, client, hookctl, folder):
    process = worker()
    waiting = await client.start(app.approve, "s3cret", folder)
    stepping = await client.start(app.wait, folder)
    await saying(
        lambda: hookctl("runs", "get", stepping.run_id),
        'the step "wait_for_go" (step-1), attempt 1',
    )
    shown = await saying(lambda: hookctl("runs", "get", waiting.run_id), "hook-1")
    _, _, waits = shown.partition("waits for ")
    assert waits.strip().startswith("a payload for the hook hook-1 with the token ")
    assert "s3cret" not in waits
    assert 'the token "s3cret"' in hookctl("runs", "get", waiting.run_id, "--show-tokens")
    (found,) = json.loads(hookctl("--json", "runs", "get", waiting.run_id))["waits"]
    assert (found["kind"], found["correlation_id"]) == ("hook", "hook-1")
    assert found["name"] != "s3cret"
    assert process.name in hookctl("queues")
    go(folder)
    assert await stepping.return_value(timeout=30) == 1
    await waiting.cancel()
    assert await waiting.waits() == []


async def test_logs_of_workflows_are_shown(worker, client, hookctl, folder):
    worker()
    run = await client.start(app.retry, folder)
    await run.return_value(timeout=30)
    for command in ("events", "watch"):
        lines = hookctl("runs", command, run.run_id).splitlines()
        (completed,) = [line for line in lines if "step_completed" in line]
        assert "step-1" in completed
        assert '"name":"flaky"' in completed
        retrying = [line for line in lines if "step_retrying" in line]
        assert '"failure":"RetryableError: not yet\\nnot now"' in retrying[0]
        assert "Traceback" not in retrying[0]
    everything = json.loads(hookctl("--json", "runs", "events", run.run_id))
    (first, _) = [event for event in everything if event["type"] == "step_retrying"]
    assert "Traceback" in first["data"]["failure"]["details"]["traceback"]
    assert [event["turn"] for event in everything] == [0, 0, 1, 0, 0, 0, 2]
