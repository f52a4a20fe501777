"""``steps``: executed and recorded once, tried again as their policy says, in parallel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hookd import Client, RunFailedError, RunStatus

from tests.e2e.workflows.programs import steps
from tests.e2e.workflows.programs.marks import marks
from tests.e2e.workflows.watching import log_of, result, seen, types_of


async def test_steps_result_recorded_once(client: Client, file: str, token: str) -> None:
    """Not run again on replay, however often the code is."""
    run = await client.start(steps.three_steps, file, token)
    await client.resume_hook(token, "payload", wait=30)
    assert await result(run) == ["one", "two", "payload", "three"]
    executed = marks(file)
    replays = executed.count("begin")
    assert replays == 1 if client.project == "warm" else replays >= 4
    assert [line for line in executed if line != "begin"] == ["one", "two", "three"]
    log = await log_of(run)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    outputs = [event.data["output"] for event in log if event.type == "step_completed"]
    assert outputs == ["one", "two", "three"]
    assert [e.data["name"] for e in log if e.type == "step_scheduled"] == [
        "note",
        "note_in_a_thread",
        "note",
    ]


async def test_steps_are_tried_again_three_times_by_default(client: Client, file: str) -> None:
    run = await client.start(steps.retried, file, 4)
    assert await result(run) == 4
    assert marks(file) == [f"attempt {n}" for n in (1, 2, 3, 4)]
    log = await log_of(run)
    retrying = [event for event in log if event.type == "step_retrying"]
    assert [event.data["attempt"] for event in retrying] == [1, 2, 3]
    assert [event.data["failure"].message for event in retrying] == [
        f"attempt {n} was bad" for n in (1, 2, 3)
    ]
    # The waits grow: 20 ms, 40 ms, 80 ms.
    waits = [event.data["next_attempt_at"] - event.time for event in retrying if event.time]
    assert [round(wait / timedelta(milliseconds=1)) for wait in waits] == [20, 40, 80]
    (completed,) = [event for event in log if event.type == "step_completed"]
    assert completed.data["attempt"] == 4


async def test_steps_fail_after_the_last_attempt(client: Client, file: str) -> None:
    run = await client.start(steps.retried, file, 5)
    with pytest.raises(RunFailedError) as failed:
        await result(run)
    assert (failed.value.type, failed.value.message) == ("ConnectionError", "attempt 4 was bad")
    assert marks(file) == [f"attempt {n}" for n in (1, 2, 3, 4)]
    assert (await types_of(run))[-2:] == ["step_failed", "run_failed"]


async def test_steps_wait_a_second_by_default(warm: Client) -> None:
    run = await warm.start(steps.retried_by_default)
    assert await result(run) == 2
    log = await log_of(run)
    (scheduled,) = [event for event in log if event.type == "step_scheduled"]
    assert scheduled.data["retry"] == {
        "max_retries": 3,
        "initial_interval": timedelta(seconds=1),
        "backoff": 2.0,
        "max_interval": timedelta(hours=1),
    }
    (retrying,) = [event for event in log if event.type == "step_retrying"]
    (completed,) = [event for event in log if event.type == "step_completed"]
    assert retrying.time is not None
    assert retrying.data["next_attempt_at"] - retrying.time == timedelta(seconds=1)
    assert completed.data["started_at"] >= retrying.data["next_attempt_at"]


async def test_steps_number_of_retries_is_a_choice(client: Client, file: str) -> None:
    run = await client.start(steps.retried_once, file)
    with pytest.raises(RunFailedError) as failed:
        await result(run)
    assert (failed.value.type, failed.value.message) == ("RetryableError", "always")
    assert marks(file) == ["attempt 1", "attempt 2"]


async def test_steps_fatal_error(client: Client, file: str) -> None:
    """No further attempt; the workflow meets it and goes on."""
    run = await client.start(steps.refused, file)
    assert await result(run) == ["FatalError", "no such card"]
    assert marks(file) == ["attempt 1"]
    assert "step_retrying" not in await types_of(run)


@pytest.mark.parametrize("kind", ["seconds", "datetime"])
async def test_steps_retryable_error_says_when(warm: Client, kind: str) -> None:
    delay = timedelta(seconds=0.8 if kind == "datetime" else 0.4)
    run = await warm.start(steps.asked_later, kind, delay.total_seconds())
    assert await result(run) == 2
    log = await log_of(run)
    (retrying,) = [event for event in log if event.type == "step_retrying"]
    (completed,) = [event for event in log if event.type == "step_completed"]
    assert retrying.time is not None
    wait = retrying.data["next_attempt_at"] - retrying.time
    if kind == "datetime":
        # Some of the time has passed when the daemon hears of it.
        assert timedelta(seconds=0.3) < wait <= delay
    else:
        assert wait == delay
    assert completed.data["started_at"] >= retrying.data["next_attempt_at"]


async def test_steps_in_parallel(client: Client, tmp_path: Path) -> None:
    """All are under way at once: each waits for all others."""
    names = ["a", "b", "c", "d", "e", "f"]
    run = await client.start(steps.parallel, str(tmp_path), names)
    assert await result(run) == names
    kinds = await types_of(run)
    assert kinds.index("step_completed") > kinds.index("step_scheduled") + 5
    assert all(marks(tmp_path / name) == ["here"] for name in names)


async def test_steps_in_parallel_end_in_any_order(client: Client, tmp_path: Path) -> None:
    """The results come in the order of the calls, the code goes on in that of the ends."""
    names = ["a", "b", "c", "d"]
    run = await client.start(steps.parallel_in_reverse, str(tmp_path), names)
    assert await result(run) == [names, names[::-1]]


async def test_steps_exception_reaches_the_workflow(client: Client) -> None:
    run = await client.start(steps.failures)
    found = await result(run)
    assert found["known"] == ["shoes: only 2 left", "shoes", 2]
    assert found["cause"] == ["take", "OutOfStockError", 1]
    assert "raise OutOfStockError(item, 2)" in found["traceback"]
    assert found["unknown"] == ["SecretError", "nobody knows"]


async def test_steps_exception_that_is_not_caught_fails_the_run(client: Client) -> None:
    run = await client.start(steps.not_caught, "shoes")
    with pytest.raises(RunFailedError) as failed:
        await result(run)
    assert failed.value.type == "OutOfStockError"
    assert failed.value.message == "shoes: only 2 left"
    assert await run.status() is RunStatus.FAILED
    await seen(run, "run_failed")


async def test_steps_values_of_many_types(client: Client) -> None:
    placed_at = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    order = steps.Order(
        key=UUID(int=7),
        lines=[steps.Line("shoes", Decimal("59.90"))],
        color=steps.Color.RED,
        placed_at=placed_at,
    )
    at = placed_at + timedelta(days=2, microseconds=1)
    run = await client.start(steps.values, order, b"\0\xff", at)
    assert await result(run) == (order, b"\xff\0", timedelta(days=2, microseconds=1))
