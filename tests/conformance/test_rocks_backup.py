"""What RocksDB adds: a backup that is taken while calls go on."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from pathlib import Path

import pytest
from hookd_daemon.auth import keyfile
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.restore import restore
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks import backup as module
from hookd_daemon.store.rocks.manifest import Manifest
from hookd_daemon.store.rocks.tx import REVISION_BLOCK
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


async def use_up(tx: Tx, count: int) -> None:
    for _ in range(count):
        tx.revision()


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


class Gate:
    """Holds backups where all is copied and no manifest is written yet.

    Attributes:
        reached: released each time a backup has come so far.
        go: a backup goes on when it can take one of these.
        names: which backups have come so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.names: list[str] = []
        real = module.sync_files

        def sync_files(root: Path) -> None:
            self.names.append(root.name)
            self.reached.release()
            assert self.go.acquire(timeout=30)
            real(root)

        monkeypatch.setattr(module, "sync_files", sync_files)

    async def wait(self) -> None:
        """Waits until a backup has come so far."""
        assert await asyncio.to_thread(self.reached.acquire, timeout=30)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


async def test_two_backups_of_one_name_at_once(
    rocks_opener: Opener, tmp_path: Path, gate: Gate
) -> None:
    """One is made and whole, the others are told that the name is taken."""
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.transact(step, 1)
    target = tmp_path / "backups" / "same"
    backups = [asyncio.create_task(store.backup(target)) for _ in range(3)]
    await gate.wait()
    gate.go.release(3)
    results = await asyncio.gather(*backups, return_exceptions=True)
    made = [size for size in results if isinstance(size, int)]
    refused = [error for error in results if isinstance(error, FileExistsError)]
    assert (len(made), len(refused)) == (1, 2), results
    assert Manifest.read(target).check(target) is None
    copy = RocksStore(target)
    try:
        assert (await copy.transact(read))[0] == {b"1"}
    finally:
        copy.close()


async def test_a_backup_waits_for_the_one_before_also_when_its_caller_is_gone(
    rocks_opener: Opener, tmp_path: Path, gate: Gate
) -> None:
    """Else the second would remove what the first has begun."""
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.transact(step, 1)
    targets = [tmp_path / "backups" / name for name in ("first", "second")]
    first = asyncio.create_task(store.backup(targets[0]))
    await gate.wait()
    first.cancel()
    second = asyncio.create_task(store.backup(targets[1]))
    # Commits go on meanwhile.
    await store.transact(step, 2)
    assert gate.names == ["first.incomplete"]
    gate.go.release(2)
    await second
    assert gate.names == ["first.incomplete", "second.incomplete"]
    for target in targets:
        Manifest.read(target).check(target)


async def test_a_store_that_closes_gives_its_backup_up(
    rocks_opener: Opener, tmp_path: Path, gate: Gate
) -> None:
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.transact(step, 1)
    target = tmp_path / "backups" / "late"
    backup = asyncio.create_task(store.backup(target))
    await gate.wait()
    closing = asyncio.create_task(asyncio.to_thread(rocks_opener.close, store))
    assert await asyncio.to_thread(store._backups._closing.wait, 30)
    gate.go.release()
    await closing
    with pytest.raises(StoreUnavailableError, match="going down"):
        await backup
    assert list(target.parent.iterdir()) == []
    with pytest.raises(StoreUnavailableError):
        await store.backup(target)


async def test_a_backup_that_fails_leaves_nothing(
    rocks_opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = rocks_opener()
    assert isinstance(store, RocksStore)

    def no_room(root: Path) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "backups" / "mine"
    with monkeypatch.context() as full:
        full.setattr(module, "sync_files", no_room)
        with pytest.raises(StoreUnavailableError, match="mine cannot be written: No space left"):
            await store.backup(target)
    assert list(target.parent.iterdir()) == []
    await store.transact(step, 1)
    assert await store.backup(target) > 0


async def test_what_another_process_makes_is_left_alone(
    rocks_opener: Opener, tmp_path: Path
) -> None:
    """Daemons may share a folder for their backups."""
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    others = tmp_path / "backups" / "other.incomplete"
    others.mkdir(parents=True)
    handle = os.open(others, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        await store.backup(tmp_path / "backups" / "mine")
        with pytest.raises(FileExistsError):
            await store.backup(tmp_path / "backups" / "other")
        assert others.exists()
    finally:
        os.close(handle)
    await store.backup(tmp_path / "backups" / "other")
    assert not others.exists()


async def test_the_keys_of_callers_are_in_the_backup(rocks_opener: Opener, tmp_path: Path) -> None:
    """Without them a restored daemon would serve everybody."""
    assert module.BESIDES == (keyfile.FILE_NAME,)
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.backup(tmp_path / "without")
    keys = tmp_path / "data" / keyfile.FILE_NAME
    keys.write_text('{"version": 1, "keys": []}')
    keys.chmod(0o600)
    await store.backup(tmp_path / "with")
    restore(tmp_path / "with", tmp_path / "new")
    for folder in ("with", "new"):
        copy = tmp_path / folder / keyfile.FILE_NAME
        assert copy.read_text() == keys.read_text()
        assert copy.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "without" / keyfile.FILE_NAME).exists()


async def test_a_restored_store_gives_no_revision_again(
    rocks_opener: Opener, tmp_path: Path
) -> None:
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    await store.transact(step, 1)
    await store.backup(tmp_path / "backup")
    await store.transact(use_up, 3 * REVISION_BLOCK)
    given = await store.transact(revision)
    restore(tmp_path / "backup", tmp_path / "new")
    copy = RocksStore(tmp_path / "new")
    try:
        assert (await copy.transact(read))[0] == {b"1"}
        assert await copy.transact(revision) > given
    finally:
        copy.close()
