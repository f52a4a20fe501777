"""What RocksDB adds: an answer waits for its flush, and nothing is answered without.

A disk that fails cannot be had otherwise, so the flush is replaced here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hookd_daemon.errors import RunNotFoundError, StoreUnavailableError
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.tx import Tx

from tests.conformance.conftest import claim, claim_of


async def put(tx: Tx, key: bytes, value: bytes = b"1") -> None:
    tx.put(key, value)


async def get(tx: Tx, key: bytes) -> bytes | None:
    return await tx.get(key)


async def refuse(tx: Tx) -> None:
    raise RunNotFoundError("r")


class Disk:
    """Stands between the store and its flushes.

    Attributes:
        begun: released each time a flush begins.
        go: a flush ends when it can take one of these.
        broken: what a flush raises then, if anything.
    """

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.broken: OSError | None = None

    def flush(self) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=60)
        if self.broken is not None:
            raise self.broken

    async def flush_begins(self) -> None:
        """Waits until a flush has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=30)

    async def no_flush_begins(self) -> None:
        """Gives the loop and the flusher's thread every chance to begin one."""
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not self.begun.acquire(blocking=False)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(RocksStore, "_flush", lambda _store: disk.flush())
    return disk


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def flushed() -> list[int]:
    return []


@pytest.fixture
async def rocks(
    disk: Disk, tmp_path: Path, failures: list[BaseException], flushed: list[int]
) -> Iterator[RocksStore]:
    store = RocksStore(
        tmp_path / "data",
        on_failure=failures.append,
        on_flush=lambda commits, _seconds: flushed.append(commits),
    )
    yield store
    disk.go.release(1000)
    store.close()


async def settled(task: asyncio.Task[object]) -> bool:
    """Whether a task has ended after the loop has had many turns."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


async def test_an_answer_waits_for_its_flush(rocks: RocksStore, disk: Disk) -> None:
    call = asyncio.create_task(rocks.transact(put, b"Ra"))
    await disk.flush_begins()
    assert not await settled(call)
    disk.go.release()
    await call


async def test_an_answer_waits_for_a_flush_that_began_after_its_write(
    rocks: RocksStore, disk: Disk, flushed: list[int]
) -> None:
    first = asyncio.create_task(rocks.transact(put, b"Ra"))
    await disk.flush_begins()
    # The flush is under way: what is written now may not be part of it.
    late = [asyncio.create_task(rocks.transact(put, b"R%d" % i)) for i in range(3)]
    assert not await settled(late[0])
    disk.go.release()
    await first
    await disk.flush_begins()
    assert not any([await settled(call) for call in late])
    disk.go.release()
    await asyncio.gather(*late)
    # One flush for the three of them.
    assert flushed == [1, 3]


async def test_a_reader_waits_for_what_it_read(rocks: RocksStore, disk: Disk) -> None:
    write = asyncio.create_task(rocks.transact(put, b"Ra"))
    await asyncio.sleep(0)
    read = asyncio.create_task(rocks.transact(get, b"Ra"))
    await disk.flush_begins()
    assert not await settled(read)
    disk.go.release(2)
    assert await read == b"1"
    await write


async def test_a_refusal_waits_for_what_it_rests_on(rocks: RocksStore, disk: Disk) -> None:
    """A conflict too is answered only when the claim it names is on disk."""
    write = asyncio.create_task(rocks.transact(put, b"Ra"))
    await asyncio.sleep(0)
    refused = asyncio.create_task(rocks.transact(refuse))
    await disk.flush_begins()
    assert not await settled(refused)
    disk.go.release(2)
    with pytest.raises(RunNotFoundError):
        await refused
    await write


async def test_a_reader_at_rest_waits_for_no_flush(rocks: RocksStore, disk: Disk) -> None:
    disk.go.release()
    await rocks.transact(put, b"Ra")
    assert disk.begun.acquire(blocking=False)
    assert await rocks.transact(get, b"Ra") == b"1"
    with pytest.raises(RunNotFoundError):
        await rocks.transact(refuse)
    await disk.no_flush_begins()


async def test_a_call_that_is_cancelled_does_not_hinder_the_others(
    rocks: RocksStore, disk: Disk
) -> None:
    calls = [asyncio.create_task(rocks.transact(put, b"R%d" % i)) for i in range(3)]
    await disk.flush_begins()
    calls[1].cancel()
    disk.go.release(9)
    await calls[0]
    await calls[2]
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    # What it wrote stays: the write was over before the cancel came.
    assert await rocks.transact(get, b"R1") == b"1"


async def test_a_failed_flush_is_told_to_everyone(
    rocks: RocksStore, disk: Disk, failures: list[BaseException]
) -> None:
    in_flush = [asyncio.create_task(rocks.transact(put, b"R%d" % i)) for i in range(3)]
    await disk.flush_begins()
    behind = [asyncio.create_task(rocks.transact(put, b"Rlate%d" % i)) for i in range(3)]
    behind.append(asyncio.create_task(rocks.transact(get, b"R0")))
    behind.append(asyncio.create_task(rocks.transact(refuse)))
    with rocks.subscribe("x") as news:
        listening = asyncio.create_task(news.wait(None))
        await asyncio.sleep(0)
        disk.broken = OSError(5, "Input/output error")
        disk.go.release()
        for call in [*in_flush, *behind, listening]:
            with pytest.raises(StoreUnavailableError):
                await asyncio.wait_for(call, 10)
    assert failures == [disk.broken]


async def test_nothing_is_answered_after_a_failed_flush(
    rocks: RocksStore, disk: Disk, failures: list[BaseException]
) -> None:
    disk.go.release()
    await rocks.transact(put, b"Rsafe")
    disk.broken = OSError(28, "No space left on device")
    disk.go.release(2)
    with pytest.raises(StoreUnavailableError):
        await rocks.transact(put, b"Ra")
    # Not even what is safe, nor when the disk has come to life again.
    disk.broken = None
    disk.go.release(10)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await rocks.transact(get, b"Rsafe")
        with pytest.raises(StoreUnavailableError):
            await rocks.transact(put, b"Rb")
        with pytest.raises(StoreUnavailableError):
            await rocks.transact(refuse)
        with pytest.raises(StoreUnavailableError), rocks.subscribe("x"):
            pass
    assert len(failures) == 1


class FailingDatabase:
    """A database whose writes fail."""

    def __init__(self, real: object) -> None:
        self._real = real

    def write(self, *_args: object) -> None:
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


async def test_a_failed_write_is_a_failure_told_once(
    rocks: RocksStore, disk: Disk, failures: list[BaseException]
) -> None:
    """A write fails while a flush is under way that fails, too: one failure, told once."""
    earlier = asyncio.create_task(rocks.transact(put, b"Ra"))
    await disk.flush_begins()
    real = rocks.db
    rocks.db = FailingDatabase(real)  # type: ignore[assignment]

    async def claim_and_put(tx: Tx) -> None:
        await claim(tx, "p", "t", claim_of(1))
        tx.put(b"Rb", b"1")

    broken = asyncio.create_task(rocks.transact(claim_and_put))
    assert not await settled(broken) or isinstance(broken.exception(), StoreUnavailableError)
    rocks.db = real
    disk.broken = OSError(5, "Input/output error")
    disk.go.release()
    for call in (earlier, broken):
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(call, 10)
    with pytest.raises(StoreUnavailableError):
        await rocks.transact(get, b"Ra")
    # The index has not kept a claim that was never written.
    assert rocks.index.owner("p", b"t") is None
    assert len(failures) == 1
