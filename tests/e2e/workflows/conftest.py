"""Workers that many tests share, and workers that a test may kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hookd
import pytest
from hookd import Client

from tests.support.api import unique
from tests.support.daemon import Daemon
from tests.support.worker import WorkerProcess

PROGRAMS = "tests.e2e.workflows.programs"

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="session")
def start_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartWorker]:
    """Starts workers, which are ended with the session at the latest."""
    folder = tmp_path_factory.mktemp("workers")
    with ExitStack() as stack:

        def start(
            daemon: Daemon, project: str, target: str, *, name: str | None = None, **env: str
        ) -> WorkerProcess:
            worker = WorkerProcess(
                daemon.address,
                folder,
                f"{PROGRAMS}.{target}",
                project=project,
                name=name,
                # For the clients that steps use.
                env={"HOOKD_ADDRESS": daemon.address, "HOOKD_PROJECT": project, **env},
            )
            stack.callback(worker.kill)
            return worker.start()

        yield start


@pytest.fixture(scope="session")
def warm_worker(shared_daemon: Daemon, start_worker: StartWorker) -> WorkerProcess:
    """The worker of the project "warm": it keeps its runs in memory."""
    return start_worker(shared_daemon, "warm", "workers:warm")


@pytest.fixture(scope="session")
def cold_workers(shared_daemon: Daemon, start_worker: StartWorker) -> list[WorkerProcess]:
    """The workers of the project "cold": each of their turns is a replay, in either of them."""
    return [start_worker(shared_daemon, "cold", "workers:cold") for _ in range(2)]


@pytest.fixture
async def warm(shared_daemon: Daemon, warm_worker: WorkerProcess) -> AsyncIterator[Client]:
    """A client for the project "warm"."""
    async with hookd.connect(shared_daemon.address, project="warm") as client:
        yield client


@pytest.fixture
async def cold(shared_daemon: Daemon, cold_workers: list[WorkerProcess]) -> AsyncIterator[Client]:
    """A client for the project "cold"."""
    async with hookd.connect(shared_daemon.address, project="cold") as client:
        yield client


@pytest.fixture(params=["warm", "cold"])
async def client(request: pytest.FixtureRequest, shared_daemon: Daemon) -> AsyncIterator[Client]:
    """A client for a project whose workers keep runs in memory, then for one that replays them."""
    request.getfixturevalue("warm_worker" if request.param == "warm" else "cold_workers")
    async with hookd.connect(shared_daemon.address, project=request.param) as client:
        yield client


@pytest.fixture
def token() -> str:
    """A token that no other test uses."""
    return unique("token")


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Where steps and workflows leave their marks."""
    return str(tmp_path / "marks")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a step waits for; ``touch`` opens it."""
    return tmp_path / "gate"


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return unique("workflows")
