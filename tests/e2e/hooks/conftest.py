"""A daemon that these tests may kill, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import unique
from tests.support.daemon import Daemon, running


@pytest.fixture(scope="session")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that a test may restart; each test uses a project of its own."""
    with running(tmp_path_factory.mktemp("mortal")) as daemon:
        yield daemon


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return unique("project")
