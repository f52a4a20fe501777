"""What the tests of workers share: a worker process on the daemon of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import hookd
import pytest

from tests.support.api import unique
from tests.support.daemon import Daemon, running
from tests.support.worker import WorkerProcess

APP = "tests.e2e.worker.app"

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return unique("work")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where steps leave their notes."""
    made = tmp_path / "notes"
    made.mkdir()
    return str(made)


@pytest.fixture
def impatient_daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of the test's own, that takes silent workers for lost after a second."""
    with running(tmp_path, "--worker-lease=1s") as daemon:
        yield daemon


@pytest.fixture
def worker(shared_daemon: Daemon, tmp_path: Path, project: str) -> Iterator[StartWorker]:
    """Starts workers, which end with the test."""
    started: list[WorkerProcess] = []

    def start(target: str = APP, *flags: str, daemon: Daemon = shared_daemon) -> WorkerProcess:
        target = f"{APP}{target}" if target.startswith(":") else target
        process = WorkerProcess(daemon.address, tmp_path, target, *flags, project=project)
        started.append(process)
        return process.start()

    yield start
    for process in started:
        process.kill()


@pytest.fixture
async def client(shared_daemon: Daemon, project: str) -> AsyncIterator[hookd.Client]:
    """A client of the shared daemon."""
    async with hookd.connect(shared_daemon.address, project=project) as connected:
        yield connected


def go(folder: str) -> None:
    """Lets the steps go on that wait."""
    Path(folder, "go").touch()
