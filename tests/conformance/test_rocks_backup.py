"""What RocksDB adds: a backup that is taken while calls go on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.tx import Tx

from tests.conformance.conftest import Opener, claim, claim_of

P = "project"
#: A group that backups are compared by: each commit writes all of it.
NAMES = [b"R%d" % i for i in range(5)]


async def step(tx: Tx, number: int) -> None:
    """Writes one number everywhere, and moves one token on."""
    for name in NAMES:
        tx.put(name, b"%d" % number)
    held = await tx.owner(P, "lock")
    if held is not None:
        tx.release(P, "lock", held)
    assert await claim(tx, P, "lock", claim_of(number)) is None


async def read(tx: Tx) -> tuple[set[bytes | None], ClaimRecord | None]:
    return {await tx.get(name) for name in NAMES}, await tx.owner(P, "lock")


async def revision(tx: Tx) -> int:
    return tx.revision()


async def test_a_backup_opens_and_equals_a_moment(rocks_opener: Opener, tmp_path: Path) -> None:
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    done = 0

    async def work() -> None:
        nonlocal done
        for number in range(1, 100_000):
            await store.transact(step, number)
            done = number

    worker = asyncio.create_task(work())
    spans = []
    for i in range(4):
        before = done
        size = await store.backup(tmp_path / "backups" / f"b{i}")
        spans.append((before, done + 1))
        assert size > 0
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    final = await store.transact(revision)

    for i, (before, after) in enumerate(spans):
        copy = RocksStore(tmp_path / "backups" / f"b{i}")
        try:
            values, lock = await copy.transact(read)
            # All of one commit, none of another; and all that was answered before.
            assert len(values) == 1
            (value,) = values
            number = int(value or b"0")
            assert before <= number <= after
            assert (lock.run_uid if lock is not None else 0) == number
            assert copy.recovered_tokens == len(copy.index) == (1 if number else 0)
            given = await copy.transact(revision)
            assert lock is None or given > lock.revision
            # The copy is written to, and the original does not see it.
            await copy.transact(step, 1_000_000)
        finally:
            copy.close()
    assert spans[-1][0] > 0
    values, lock = await store.transact(read)
    assert b"1000000" not in values
    assert lock is not None
    assert lock.revision < final


async def test_a_backup_does_not_touch_what_is_there(rocks_opener: Opener, tmp_path: Path) -> None:
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    target = tmp_path / "backups" / "mine"
    target.mkdir(parents=True)
    (target / "precious").write_text("1")
    with pytest.raises(FileExistsError):
        await store.backup(target)
    assert [file.name for file in target.iterdir()] == ["precious"]


async def test_the_remains_of_a_backup_that_died_are_no_hindrance(
    rocks_opener: Opener, tmp_path: Path
) -> None:
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.transact(step, 1)
    half = tmp_path / "backups" / "mine.incomplete"
    (half / "db").mkdir(parents=True)
    (half / "db" / "junk").write_text("1")
    await store.backup(tmp_path / "backups" / "mine")
    assert [file.name for file in (tmp_path / "backups").iterdir()] == ["mine"]
    copy = RocksStore(tmp_path / "backups" / "mine")
    try:
        assert (await copy.transact(read))[0] == {b"1"}
    finally:
        copy.close()


async def test_two_backups_of_one_name_at_once(
    rocks_opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is made and whole, the others are told that the name is taken.

    The first to come so far is held until another has come as far, or cannot.
    """
    from hookd_daemon.store.rocks import store as module

    real, met = module.write_durably, threading.Event()
    first = threading.Lock()

    def write_durably(file: Path, text: str) -> None:
        if first.acquire(blocking=False):
            met.wait(0.5)
        met.set()
        real(file, text)

    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.transact(step, 1)
    monkeypatch.setattr(module, "write_durably", write_durably)
    target = tmp_path / "backups" / "same"
    results = await asyncio.gather(
        *[store.backup(target) for _ in range(3)], return_exceptions=True
    )
    made = [size for size in results if isinstance(size, int)]
    refused = [error for error in results if isinstance(error, FileExistsError)]
    assert (len(made), len(refused)) == (1, 2), results
    copy = RocksStore(target)
    try:
        assert (await copy.transact(read))[0] == {b"1"}
    finally:
        copy.close()
