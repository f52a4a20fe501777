"""Fixtures that all tests may use."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api, unique
from tests.support.daemon import Daemon, running

# Names the seed of the random tests, see there.
pytest_plugins = ["tests.support.effort"]

# Who starts the tests in the background may have them ignore SIGINT, and what
# they start would inherit that: no test of Ctrl-C could pass.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with a test that is marked ``long`` first."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Has collections of garbage leave out the thousands of tests, which stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that many tests share; each uses a project of its own."""
    with running(tmp_path_factory.mktemp("shared")) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def _shared_api(shared_daemon: Daemon) -> Api:
    return Api(shared_daemon.channel())


@pytest.fixture
def api(_shared_api: Api) -> Api:
    """The shared daemon's API in a project that no other test uses."""
    return Api(_shared_api.channel, unique("project"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of the test's own, to be killed and restarted."""
    with running(tmp_path) as daemon:
        yield daemon
