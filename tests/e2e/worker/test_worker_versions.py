"""Code that changes while runs of it are open."""

from __future__ import annotations

from pathlib import Path

import hookd
import pytest

from tests.support.worker import WorkerProcess

CODE = """
from hookd import create_hook, step, workflow

@step
def first() -> str:
    return "first"

@step
def second() -> str:
    return "second"

# The version is said to be the same: else the daemon waits a while for a worker
# that has the one which has begun a run.
@workflow(name="{name}", version="1")
async def {function}() -> list[str]:
    found = [await {step}()]
    found.append(await create_hook(token="go"))
    return found
"""


@pytest.fixture
def changing(shared_daemon, tmp_path: Path, project):
    """Starts a worker on code that the test writes."""
    started: list[WorkerProcess] = []

    def start(
        *, function: str = "order", name: str | None = None, step: str = "first"
    ) -> WorkerProcess:
        for process in started:
            process.kill()
        # Each version is a module of its own: Python may keep the code of the one before.
        module = f"changing_{len(started)}"
        code = CODE.format(name=name or function, function=function, step=step)
        (tmp_path / f"{module}.py").write_text(code)
        process = WorkerProcess(
            shared_daemon.address, tmp_path, module, project=project, directory=tmp_path
        )
        started.append(process)
        return process.start()

    yield start
    for process in started:
        process.kill()


async def asked(client: hookd.Client) -> hookd.Run:
    """Starts a run, and waits until it waits."""
    run = await client.start("order")
    await client.get_hook_by_token("go", wait=30)
    return run


async def test_code_that_does_not_match_the_log_fails_the_run(changing, client):
    changing()
    run = await asked(client)
    process = changing(step="second")
    await client.resume_hook("go", "on")
    with pytest.raises(hookd.RunFailedError) as caught:
        await run.return_value(timeout=60)
    assert caught.value.type == "NonDeterminismError"
    assert "first" in caught.value.message
    assert "second" in caught.value.message
    line = process.said(f'run {run.run_id}: workflow "order" has failed: NonDeterminismError')
    assert " ERROR " in line
    # The token of the run is free.
    again = await asked(client)
    await client.resume_hook("go", "on")
    assert await again.return_value(timeout=30) == ["second", "on"]


async def test_a_workflow_that_was_renamed_waits(changing, client):
    changing()
    run = await asked(client)
    changing(function="purchase")
    await client.resume_hook("go", "on")
    (wait,) = [each for each in await run.waits() if each.kind == "turn"]
    assert (wait.name, wait.unserved) == ("order", True)
    changing(function="purchase", name="order")
    assert await run.return_value(timeout=60) == ["first", "on"]
