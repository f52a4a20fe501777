"""Both engines, on which the core is tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.store.rocks import RocksStore

from tests.unit.limits.tenant import Tenant


@pytest.fixture(params=["memory", "rocks"])
async def tenant(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tenant]:
    """A project on a fresh store."""
    store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "data")
    yield Tenant(store)
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a store on disk may be."""
    return tmp_path / "data"
