"""A workflow that no longer matches its log, and two versions of a worker side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import hookd
import pytest
import pytest_asyncio
from hookd import Client, Event, Run, RunFailedError, RunStatus

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.watching import check_free, log_of, result, seen
from tests.support.api import unique
from tests.support.daemon import Daemon

#: For each change, the event that tells, and what the code did instead.
CHANGES: dict[str, tuple[str, list[str], list[str]]] = {
    "another_step": ("step_scheduled", ['"reserve"', "step-1"], ['"charge"', "changes.py"]),
    "step_gone": ("step_scheduled", ['"reserve"', "step-1"], ["changes.py"]),
    "sleep_instead": ("step_scheduled", ['"reserve"', "step-1"], ["timer", "changes.py"]),
    "another_token": ("hook_created", ["hook-1"], ["token", "changes.py"]),
    "another_order": ("attributes_set", [], ["stream", "changes.py"]),
    "returns_early": ("timer_started", ["timer-1"], ["returned"]),
    "raises_early": ("timer_started", ["timer-1"], ["LookupError"]),
}


@dataclass
class Story:
    """What became of a run that another code has begun.

    Attributes:
        run_id: the run.
        token: what it waited with.
        before: its log when the other code was gone.
        after: its log in the end.
        outcome: what it returned, or how it failed.
    """

    run_id: str
    token: str
    before: list[Event]
    after: list[Event]
    outcome: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(shared_daemon: Daemon, start_worker: StartWorker) -> dict[str, Story]:
    """One run for each change, begun by a worker that is gone; the next one has other code."""
    project = unique("changes")
    old = start_worker(shared_daemon, project, "changes", CHANGED="no")
    found = {}
    async with hookd.connect(shared_daemon.address, project=project) as client:
        for change in (*CHANGES, "goes_on_otherwise"):
            token = unique(change)
            run = await client.start(change, token)
            await client.get_hook_by_token(token, wait=30)
            if change.endswith("early"):
                await seen(run, "timer_fired")
            elif change == "goes_on_otherwise":
                await seen(run, "step_completed")
            found[change] = Story(run.run_id, token, [], [], None)
        old.terminate()
        for story in found.values():
            story.before = await log_of(client.get_run(story.run_id))
        new = start_worker(shared_daemon, project, "changes", CHANGED="yes")
        for story in found.values():
            await client.resume_hook(story.token, "payload")
        for story in found.values():
            run = client.get_run(story.run_id)
            try:
                story.outcome = await result(run)
            except RunFailedError as failed:
                story.outcome = failed
            story.after = await log_of(run)
        await check_free(client, *(story.token for story in found.values()))
    new.kill()
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_code_that_does_not_match_the_log(stories: dict[str, Story], change: str) -> None:
    """The run fails; the error names the event and the code, and says what to do."""
    story = stories[change]
    failed = story.outcome
    assert isinstance(failed, RunFailedError)
    assert failed.type == "NonDeterminismError"
    kind, about_event, about_code = CHANGES[change]
    event = next(event for event in story.before if event.type == kind)
    told_event, told_code = failed.message.split("but the code", 1)
    assert f"event {event.seq} is {kind}" in told_event
    assert change in told_event
    assert story.run_id in told_event
    assert [word for word in about_event if word not in told_event] == []
    assert [word for word in about_code if word not in told_code] == []
    assert "@workflow(name=" in told_code
    assert story.token not in failed.message
    # Nothing of what the code did instead has happened.
    assert story.after[: len(story.before)] == story.before
    added = [event.type for event in story.after[len(story.before) :]]
    assert added == ["hook_received", "run_failed"]


def test_code_that_goes_on_otherwise(stories: dict[str, Story]) -> None:
    """What has not happened yet may change."""
    assert stories["goes_on_otherwise"].outcome == "shoes payload"


async def test_two_versions_side_by_side(
    shared_daemon: Daemon, start_worker: StartWorker, project: str
) -> None:
    """Workers with one name and different code: each goes on with what its own code began."""

    async def start(client: Client, count: int) -> dict[str, Run]:
        tokens = [unique("version") for _ in range(count)]
        return {token: await client.start("deployed", token) for token in tokens}

    old = start_worker(shared_daemon, project, "versions", name="shop", VERSION="1")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        early = await start(client, 8)
        (left_token, left), *_ = (await start(client, 1)).items()
        fitting = await client.start("compatible", f"{project}/compatible")
        for token in (*early, left_token, f"{project}/compatible"):
            await client.get_hook_by_token(token, wait=30)
        await seen(left, "timer_fired")

        # Neither has anything in memory: it is the version that counts.
        old.terminate()
        new = start_worker(shared_daemon, project, "versions", name="shop", VERSION="2")
        for token in early:
            await client.resume_hook(token, "go")
        old = start_worker(shared_daemon, project, "versions", name="shop", VERSION="1")
        late = await start(client, 8)
        for token in late:
            await client.resume_hook(token, "go", wait=30)
        for run in early.values():
            assert await result(run) == ["1", "1", "go", "1", "1"]
        # Those that began when both were there are one's or the other's, and never both's.
        for run in late.values():
            assert await result(run) in [[v, v, "go", v, v] for v in ("1", "2")]

        # When nobody has the old code any more, the new one takes over what is left. It
        # goes on where that fits, and otherwise says that it does not.
        old.terminate()
        await client.resume_hook(f"{project}/compatible", "go")
        await client.resume_hook(left_token, "go")
        assert await result(fitting) == ["go", "2"]
        with pytest.raises(RunFailedError) as failed:
            await result(left)
        assert failed.value.type == "NonDeterminismError"
        assert '"step-of-1"' in failed.value.message
        assert '"step-of-2"' in failed.value.message
        await check_free(client, left_token)
        new.kill()


async def test_renamed_while_runs_are_open(
    shared_daemon: Daemon, start_worker: StartWorker, project: str
) -> None:
    """The run waits for the old name, for as long as nobody serves that, and then ends."""
    new = start_worker(shared_daemon, project, "renamed", SUFFIX="-anew")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await client.start("fulfil")
        assert await result(await client.start("fulfil-anew")) == "packed"
        assert await run.status() is RunStatus.PENDING
        old = start_worker(shared_daemon, project, "renamed")
        assert await asyncio.wait_for(result(run), 60) == "packed"
        old.kill()
        new.kill()
