"""``finally`` and ``async with``: once, when the workflow really gets there, and only then."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import hookd
import pytest
from hookd import Client, Run, RunCancelledError, RunFailedError

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.programs import cleanup
from tests.e2e.workflows.programs.marks import marks
from tests.e2e.workflows.watching import check_free, result, seen
from tests.support.api import unique
from tests.support.daemon import Daemon

#: What happens on the way out, in its order.
ON_THE_WAY = ["leave room", "else", "finally", "finally, later"]


def left(file: str) -> list[str]:
    """What the code did, without what it does in each replay."""
    return [line for line in marks(file) if not line.startswith("enter")]


async def start(client: Client, file: str, token: str) -> Run:
    """Starts a run, and waits until it waits."""
    run = await client.start(cleanup.tidy, file, token)
    await seen(run, "hook_created")
    return run


async def check_waiting(client: Client, run: Run, file: str, token: str) -> None:
    """Nothing of the way out has happened: no line, no token that is free."""
    assert left(file) == []
    assert (await client.get_hook_by_token(token)).run == run


async def test_finally_runs_once(client: Client, file: str, token: str) -> None:
    run = await start(client, file, token)
    for payload in ("a", "b", "c"):
        await client.resume_hook(token, payload)
        await check_waiting(client, run, file, token)
    await client.resume_hook(token, "done")
    assert await result(run) == ["a", "b", "c", "done"]
    entered = marks(file).count("enter room")
    assert entered == 1 if client.project == "warm" else entered > 1
    # What is before the last await of a `finally` is met by its replay again.
    seen_before = Counter(left(file))
    assert list(seen_before) == ON_THE_WAY
    assert seen_before["finally, later"] == 1
    if client.project == "warm":
        assert left(file) == ON_THE_WAY
    await check_free(client, token)


async def test_finally_runs_once_after_a_failure(warm: Client, file: str, token: str) -> None:
    run = await start(warm, file, token)
    await warm.resume_hook(token, "raise")
    with pytest.raises(RunFailedError, match="asked for"):
        await result(run)
    assert left(file) == ["leave room", "except LookupError", "finally", "finally, later"]
    await check_free(warm, token)


async def test_finally_does_not_run_when_the_run_is_cancelled(
    client: Client, file: str, token: str
) -> None:
    """The daemon ends the run at once: its code goes on nowhere."""
    run = await start(client, file, token)
    await client.resume_hook(token, "a")
    await run.cancel("enough")
    with pytest.raises(RunCancelledError):
        await result(run)
    await check_free(client, token)
    # Another run of the same workers, from its start to its end.
    other = f"{file}-of-another"
    run = await start(client, other, token)
    await client.resume_hook(token, "done")
    await result(run)
    assert left(other)[-1] == "finally, later"
    await result(await client.start(cleanup.free_memory))
    assert left(file) == []


async def test_finally_does_not_run_because_a_run_is_evicted(
    shared_daemon: Daemon, start_worker: StartWorker, project: str, tmp_path: Path
) -> None:
    """A worker that keeps one run in memory, and has five."""
    worker = start_worker(shared_daemon, project, "workers:narrow")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        files = [str(tmp_path / f"marks-{n}") for n in range(5)]
        tokens = [unique("narrow") for _ in files]
        runs = [await start(client, *pair) for pair in zip(files, tokens, strict=True)]
        for payload in ("a", "b"):
            for run, file, token in zip(runs, files, tokens, strict=True):
                await client.resume_hook(token, payload)
                await check_waiting(client, run, file, token)
        await result(await client.start(cleanup.free_memory))
        assert [left(file) for file in files] == [[]] * 5
        for token in tokens:
            await client.resume_hook(token, "done")
        for run, file in zip(runs, files, strict=True):
            assert await result(run) == ["a", "b", "done"]
            assert marks(file).count("enter room") > 1
            assert Counter(left(file))["finally, later"] == 1
            assert list(Counter(left(file))) == ON_THE_WAY
    worker.kill()


@pytest.mark.parametrize("end", ["terminate", "kill"])
async def test_finally_does_not_run_because_a_worker_ends(
    shared_daemon: Daemon, start_worker: StartWorker, project: str, file: str, token: str, end: str
) -> None:
    """Neither when it stops by itself nor when it is killed; then once, in the next one."""
    first = start_worker(shared_daemon, project, "workers:victim")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await start(client, file, token)
        tasks = await client.start(cleanup.tidy_tasks, f"{file}-of-tasks", token)
        await client.resume_hook(token, "a")
        await seen(tasks, "hook_created", 2)
        assert (await client.get_run(run.run_id).status()).value == "running"
        getattr(first, end)()
        await check_waiting(client, run, file, token)
        assert marks(f"{file}-of-tasks") == []
        second = start_worker(shared_daemon, project, "workers:victim")
        await client.resume_hook(token, "done")
        await client.resume_hook(f"{token}/1", "first")
        assert await result(run) == ["a", "done"]
        assert await result(tasks) == "['first']"
    assert left(file) == ON_THE_WAY
    assert marks(f"{file}-of-tasks") == ["finally 1", "cancelled 2", "finally 2", "end"]
    second.kill()
