"""A backup for many tests, none of which changes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookd.v1.common_pb2 import HookSpec

from tests.e2e.backup.copies import backup
from tests.support.api import Api
from tests.support.daemon import running

#: How many tokens are taken in it.
TAKEN = 20


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that is whole."""
    with running(tmp_path_factory.mktemp("original")) as daemon:
        api = Api(daemon.channel())
        for number in range(TAKEN):
            api.start(f"run-{number}", claims=[HookSpec(token=f"token-{number}")])
        return backup(api, "good")
