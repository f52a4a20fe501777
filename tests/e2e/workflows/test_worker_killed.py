"""A worker that is killed at any point: the run goes on in another, nothing is done twice."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hookd
import pytest
import pytest_asyncio
from hookd import Event

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.programs import killed
from tests.e2e.workflows.programs.marks import marks, open_gate
from tests.e2e.workflows.watching import eventually, log_of, result, seen
from tests.support.api import unique
from tests.support.daemon import Daemon
from tests.support.worker import WorkerProcess

#: Where its worker was, and what the run returns beside "before" and "after".
PLACES: dict[str, list[Any]] = {
    "async step": [2],
    "sync step": [2],
    "retry": [2],
    "sleep": [],
    "hook": ["payload"],
    "turn": [],
}


@dataclass
class Story:
    """What became of a run whose worker was killed."""

    result: Any
    log: list[Event]
    marks: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(
    shared_daemon: Daemon, start_worker: StartWorker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Story]]:
    """One run for each place; one worker, which is killed when each has got there."""
    project, folder = unique("killed"), tmp_path_factory.mktemp("killed")
    first = start_worker(shared_daemon, project, "workers:victim")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        runs = {}
        for place in PLACES:
            file, gate, token = (str(folder / f"{word} {place}") for word in ("m", "g", "t"))
            run = await client.start(killed.work, place, file, gate, token)
            runs[place] = run
            match place:
                case "sleep":
                    await seen(run, "timer_started")
                case "hook":
                    await seen(run, "hook_created")
                case "retry":
                    await seen(run, "step_retrying")
                case _:
                    await eventually(lambda file=file: "linger" in marks(file))
        first.kill()
        # What comes while nobody is there is not lost.
        await client.resume_hook(str(folder / "t hook"), "payload")
        second = start_worker(shared_daemon, project, "workers:victim")
        for place in PLACES:
            open_gate(folder / f"g {place}")
        yield {
            place: Story(await result(run), await log_of(run), marks(folder / f"m {place}"))
            for place, run in runs.items()
        }
        second.kill()


@pytest.mark.parametrize("place", PLACES)
async def test_worker_killed(stories: dict[str, Story], place: str) -> None:
    """The run goes on in another worker; finished steps are not repeated."""
    story = stories[place]
    assert story.result == ["before", *PLACES[place], "after"]
    assert (story.marks[0], story.marks[-1]) == ("before", "after")
    assert story.marks.count("before") == story.marks.count("after") == 1
    # Only what the worker was at is done again.
    again = {"async step": 2, "sync step": 2, "retry": 2, "turn": 2}
    assert story.marks.count("linger") == again.get(place, 0)
    steps = [e.correlation_id for e in story.log if e.type == "step_completed"]
    assert len(steps) == len(set(steps))
    assert [e.type for e in story.log].count("step_scheduled") == len(steps)
    # A lost worker is no failure of a step.
    assert [e.type for e in story.log].count("step_retrying") == (place == "retry")


async def test_worker_killed_again_and_again(
    shared_daemon: Daemon, start_worker: StartWorker, project: str, file: str, tmp_path: Path
) -> None:
    """Each time at another step of the same run, with another worker at hand."""

    def start() -> WorkerProcess:
        return start_worker(shared_daemon, project, "workers:victim")

    workers = [start(), start()]
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await client.start(killed.chain, file, str(tmp_path), 5)
        for number in range(5):
            begun = await eventually(lambda number=number: line(file, f"began {number}"))
            if number in (1, 3):
                (victim,) = [worker for worker in workers if worker.pid == int(begun.split()[2])]
                victim.kill()
                workers.remove(victim)
                workers.append(start())
            open_gate(tmp_path / f"gate-{number}")
        assert await result(run) == [1, 2, 1, 2, 1]
    words = [line.split()[:2] for line in marks(file)]
    assert [number for word, number in words if word == "began"] == list("0112334")
    assert [number for word, number in words if word == "ended"] == list("01234")


async def test_worker_that_comes_back_too_late(
    daemon: Daemon, start_worker: StartWorker, tmp_path: Path
) -> None:
    """It was silent for longer than its leases: what it reports then counts for nothing."""
    daemon.flags = ["--worker-lease=1s"]
    daemon.restart()
    first = start_worker(daemon, "default", "workers:victim")
    async with hookd.connect(daemon.address) as client:
        runs = {}
        for place in ("async step", "sync step", "turn"):
            words = (str(tmp_path / f"{word} {place}") for word in ("m", "g", "t"))
            runs[place] = await client.start(killed.contested, place, *words)
        for place in runs:
            await eventually(lambda place=place: "linger" in marks(tmp_path / f"m {place}"))
        first.signal(signal.SIGSTOP)
        second = start_worker(daemon, "default", "workers:victim")
        for place, run in runs.items():
            await eventually(lambda p=place: marks(tmp_path / f"m {p}").count("linger") >= 2)
            open_gate(tmp_path / f"g {place}")
            await seen(run, "hook_created")
        logs = {place: await log_of(run) for place, run in runs.items()}

        first.signal(signal.SIGCONT)
        first.said("its result is not needed any more", times=2)
        first.said("the turn was dropped")
        for place, run in runs.items():
            assert await log_of(run) == logs[place]
            await client.resume_hook(str(tmp_path / f"t {place}"), "payload")
        for place, run in runs.items():
            found = await result(run)
            # Until the daemon knew that it was silent, it was given one attempt or another.
            attempts = found[1:-3]
            assert found == ["before", *attempts, "between", "payload", "after"]
            assert len(attempts) == place.endswith("step")
            assert all(attempt >= 2 for attempt in attempts)
            done = [mark for mark in marks(tmp_path / f"m {place}") if mark != "linger"]
            assert done == ["before", "between", "after"]
        first.kill()
        second.kill()


async def test_daemon_killed_under_a_worker(
    daemon: Daemon, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The worker goes on with what it is at: nothing is done again when the daemon is back."""
    worker = start_worker(daemon, "default", "workers:victim")
    async with hookd.connect(daemon.address, timeout=60) as client:
        runs = {}
        for place in ("async step", "sync step", "turn", "hook"):
            words = (str(tmp_path / f"{word} {place}") for word in ("m", "g", "t"))
            runs[place] = await client.start(killed.work, place, *words)
            if place == "hook":
                await seen(runs[place], "hook_created")
            else:
                await eventually(lambda place=place: "linger" in marks(tmp_path / f"m {place}"))
        daemon.kill()
        for place in ("async step", "turn"):
            open_gate(tmp_path / f"g {place}")
        daemon.start()
        open_gate(tmp_path / "g sync step")
        await client.resume_hook(str(tmp_path / "t hook"), "payload")
        assert [await result(run) for run in runs.values()] == [
            ["before", 1, "after"],
            ["before", 1, "after"],
            ["before", "after"],
            ["before", "payload", "after"],
        ]
        for place in runs:
            assert [mark for mark in marks(tmp_path / f"m {place}") if mark != "linger"] == [
                "before",
                "after",
            ]
        for place in ("async step", "sync step"):
            assert marks(tmp_path / f"m {place}").count("linger") == 1
    worker.kill()


def line(file: str, start: str) -> str:
    """The first mark that starts so; nothing when there is none."""
    return next((line for line in marks(file) if line.startswith(start)), "")
