"""``sleep``: durable timers, one after the other, at once, and in a race."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import hookd
from hookd import Client

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.programs import sleeps
from tests.e2e.workflows.programs.marks import marks, open_gate
from tests.e2e.workflows.watching import eventually, log_of, result, seen, types_of
from tests.support.daemon import Daemon


async def test_sleep_in_sequence(client: Client) -> None:
    """As seconds, text, timedelta, and a point in time."""
    run = await client.start(sleeps.in_sequence, 0.1)
    awake = await result(run)
    assert len(awake) == 5
    assert all((late - early).total_seconds() >= 0.1 for early, late in pairwise(awake))
    log = await log_of(run)
    fires_at = [event.data["fires_at"] for event in log if event.type == "timer_started"]
    fired = [event.time for event in log if event.type == "timer_fired"]
    assert len(fires_at) == len(fired) == 4
    assert all(fired and at <= fired for at, fired in zip(fires_at, fired, strict=True))


async def test_sleep_in_parallel(client: Client) -> None:
    run = await client.start(sleeps.in_parallel, [0.3, 0.1, 0.2, 0])
    assert await result(run) == [0, 0.1, 0.2, 0.3]
    kinds = [kind for kind in await types_of(run) if kind.startswith("timer")]
    assert kinds == ["timer_started"] * 3 + ["timer_fired"] * 3


async def test_sleep_races_a_hook_and_is_first(client: Client, token: str) -> None:
    """The payload that comes after it is not lost."""
    run = await client.start(sleeps.whichever_is_first, token, 0.1)
    await seen(run, "timer_fired")
    await client.resume_hook(token, "p")
    assert await result(run) == ["slept", "wait cancelled", "payload p"]


async def test_sleep_races_a_hook_and_is_second(client: Client, token: str) -> None:
    """The run does not wait for a timer that nobody needs any more."""
    run = await client.start(sleeps.whichever_is_first, token, 3600)
    await client.resume_hook(token, "p", wait=30)
    assert await result(run) == ["payload p", "doze cancelled"]
    assert "timer_fired" not in await types_of(run)


async def test_sleep_as_the_timeout_of_a_hook(client: Client, token: str) -> None:
    run = await client.start(sleeps.against_a_hook, token, 0.1, 3600)
    await seen(run, "timer_fired")
    await client.resume_hook(token, "late")
    assert await result(run) == ["nothing came", "late"]


async def test_sleep_races_a_step_and_is_first(client: Client, file: str, gate: Path) -> None:
    """The step is told that nobody waits for it, and its end changes nothing."""
    run = await client.start(sleeps.against_a_step, file, str(gate), 1)
    assert await result(run) == "too long"
    await eventually(lambda: marks(file) == ["began", "told"])
    kinds = await types_of(run)
    assert kinds.count("step_cancelled") == 1
    assert "step_completed" not in kinds


async def test_sleep_races_a_step_and_is_second(client: Client, file: str, gate: Path) -> None:
    open_gate(gate)
    run = await client.start(sleeps.against_a_step, file, str(gate), 3600)
    assert await result(run) == "done"
    assert marks(file) == ["began", "ended"]
    assert (await types_of(run)).count("timer_cancelled") == 1


async def test_sleep_survives_a_restart_of_daemon_and_worker(
    daemon: Daemon, start_worker: StartWorker
) -> None:
    """One timer ends while both are away, another after they are back."""
    worker = start_worker(daemon, "default", "workers:warm")
    async with hookd.connect(daemon.address) as client:
        run = await client.start(sleeps.in_parallel, [2.5, 0.4])
        await seen(run, "timer_started", 2)
        worker.kill()
        daemon.kill()
        daemon.start()
        start_worker(daemon, "default", "workers:warm")
        assert await result(run) == [0.4, 2.5]
        log = await log_of(run)
    assert [event.type for event in log if event.type.startswith("timer")] == [
        *["timer_started"] * 2,
        *["timer_fired"] * 2,
    ]
    fires_at = {e.correlation_id: e.data["fires_at"] for e in log if e.type == "timer_started"}
    fired = {e.correlation_id: e.time for e in log if e.type == "timer_fired"}
    assert fired.keys() == fires_at.keys()
    assert all(time and time >= fires_at[timer] for timer, time in fired.items())
