"""``run_cancel`` of a workflow: cancelled at once, tokens free, the step is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookd import Client, Run, RunCancelledError, RunNotActiveError, RunStatus

from tests.e2e.workflows.programs import cancelled, steps
from tests.e2e.workflows.programs.marks import marks, open_gate
from tests.e2e.workflows.watching import check_free, eventually, log_of, result, seen
from tests.support.api import unique

#: What a run waits for, and what the step marks once it was told.
WAITS: dict[str, list[str]] = {
    "sleep": [],
    "hook": [],
    "async step": ["began", "told"],
    "sync step": ["began", "told"],
}


async def waiting(client: Client, how: str, token: str, file: str, gate: Path) -> Run:
    """A run that holds a token and waits for something."""
    run = await client.start(cancelled.busy, how, token, file, str(gate))
    await seen(run, "hook_created")
    if how == "sleep":
        await seen(run, "timer_started")
    elif how.endswith("step"):
        await eventually(lambda: marks(file) == ["began"])
    return run


async def check_over(client: Client, run: Run, reason: str, token: str) -> None:
    """The run has ended, and its token is free."""
    info = await run.info()
    assert (info.status, info.cancel_reason) == (RunStatus.CANCELLED, reason)
    await check_free(client, token)
    with pytest.raises(RunCancelledError):
        await result(run)


@pytest.mark.parametrize("how", WAITS)
async def test_run_cancel(client: Client, how: str, token: str, file: str, gate: Path) -> None:
    run = await waiting(client, how, token, file, gate)
    await run.cancel("enough")
    await check_over(client, run, "enough", token)
    log = await log_of(run)
    assert log[-1].type == "run_cancelled"
    await eventually(lambda: marks(file) == WAITS[how])
    # Twice is no error, and changes nothing.
    await run.cancel("again")
    assert await log_of(run) == log


async def test_run_cancel_drops_a_late_result(
    client: Client, token: str, file: str, gate: Path
) -> None:
    """A step that does not let itself be cancelled ends later; its result goes nowhere."""
    run = await waiting(client, "stubborn step", token, file, gate)
    await run.cancel()
    await check_over(client, run, "", token)
    log = await log_of(run)
    open_gate(gate)
    await eventually(lambda: marks(file) == ["began", "ended"])
    # Another run from its start to its end, with the same workers.
    assert await result(await client.start(steps.retried, f"{file}-2", 1)) == 1
    assert await log_of(run) == log
    assert log[-1].type == "run_cancelled"


async def test_run_cancel_in_the_middle_of_a_turn(
    client: Client, token: str, file: str, gate: Path
) -> None:
    """What the code asks for afterwards does not happen: no claim, no step."""
    run = await client.start(cancelled.busy, "turn", token, file, str(gate))
    await client.resume_hook(token, None, wait=30)
    await eventually(lambda: marks(file) == ["began"])
    await run.cancel()
    await check_over(client, run, "", token)
    log = await log_of(run)
    open_gate(gate)
    # The worker has its thread back, and the claim is not made.
    assert await result(await client.start(steps.retried, f"{file}-2", 1)) == 1
    await check_free(client, f"{token}/late")
    assert await log_of(run) == log
    assert marks(file) == ["began"]


async def test_run_cancel_of_one_that_nobody_has_begun(warm: Client) -> None:
    run = await warm.start(unique("nobody-serves-it"))
    await run.cancel("never mind")
    assert await run.status() is RunStatus.CANCELLED
    assert [queue.name for queue in await warm.list_queues() if queue.length] == []


async def test_run_cancel_after_completion(client: Client, file: str) -> None:
    run = await client.start(steps.retried, file, 1)
    assert await result(run) == 1
    with pytest.raises(RunNotActiveError) as refused:
        await run.cancel()
    assert refused.value.status is RunStatus.COMPLETED
