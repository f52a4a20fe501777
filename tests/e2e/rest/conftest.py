"""What the tests of the JSON API share."""

from __future__ import annotations

import pytest

from tests.e2e.rest.client import Rest
from tests.support.api import Api
from tests.support.daemon import Daemon


@pytest.fixture
def rest(shared_daemon: Daemon, api: Api) -> Rest:
    """The JSON API of the shared daemon, in the project of ``api``."""
    return Rest(shared_daemon.http, api.project)
