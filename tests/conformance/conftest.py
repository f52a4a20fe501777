"""The engines that the suite runs against; a new one is added to ``ENGINES``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.tx import Store, Tally, Tx

#: What one run of the suite works on. Called inside the test's event loop.
Engine = MemoryStore | RocksStore


class Opener:
    """Opens an engine for a test, and closes what the test has left open.

    Attributes:
        tallies: what the open engines were told that commits did.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.tallies: list[Tally] = []
        self._open: list[Engine] = []

    def __call__(self) -> Engine:
        """Opens it, on the data it had before if it keeps any."""
        store: Engine
        if self.kind == "memory":
            store = MemoryStore(self.tallies.append)
        else:
            store = RocksStore(self.folder / "data", observe=self.tallies.append)
        self._open.append(store)
        return store

    def close(self, store: Engine) -> None:
        """Closes it."""
        self._open.remove(store)
        store.close()

    def close_all(self) -> None:
        """Closes whatever is open."""
        for store in list(self._open):
            self.close(store)


ENGINES = ["memory", "rocks"]


@pytest.fixture(params=ENGINES)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the engine; every test of the suite runs once with each."""
    opener = Opener(request.param, tmp_path)
    yield opener
    opener.close_all()


@pytest.fixture
async def store(opener: Opener) -> Store:
    """A fresh store of each engine."""
    return opener()


@pytest.fixture
def rocks_opener(tmp_path: Path) -> Iterator[Opener]:
    """Opens RocksDB only."""
    opener = Opener("rocks", tmp_path)
    yield opener
    opener.close_all()


def claim_of(run_uid: int, **more: Any) -> ClaimRecord:
    """A claim of a run, as yet without a revision."""
    return ClaimRecord(run_uid=run_uid, run_id=f"run-{run_uid}", hook_id="h", **more)


async def claim(tx: Tx, project: str, token: str, record: ClaimRecord) -> ClaimRecord | None:
    """Claims as ``core`` does; writes the revision into the record."""
    record.revision = tx.revision()
    raw = record.SerializeToString()
    return await tx.claim(project, token, record.run_uid, record.revision, raw)
