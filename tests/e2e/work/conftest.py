"""A daemon whose leases do not lapse: what comes at once does not come by that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import Api, unique
from tests.support.daemon import Daemon, running


@pytest.fixture(scope="package")
def patient_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that the tests here share; each uses a project of its own."""
    with running(tmp_path_factory.mktemp("patient"), "--worker-lease=1h") as daemon:
        yield daemon


@pytest.fixture(scope="package")
def _patient_api(patient_daemon: Daemon) -> Api:
    return Api(patient_daemon.channel())


@pytest.fixture
def api(_patient_api: Api) -> Api:
    """Its API in a project that no other test uses."""
    return Api(_patient_api.channel, unique("project"))
