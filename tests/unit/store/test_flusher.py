"""The flusher: what is durable when, and who flushes."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.rocks.flusher import QUICK_S, Flusher


class Disk:
    """A disk whose flushes are counted, and can be held back or fail."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.written = 0
        self.durable = 0
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.failure: Exception | None = None
        self.failures: list[BaseException] = []
        self.groups: list[int] = []

    def flush(self) -> None:
        self.threads.append(threading.get_ident())
        written = self.written
        self.begun.set()
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        self.durable = written

    def flusher(self) -> Flusher:
        def note(commits: int, _seconds: float) -> None:
            self.groups.append(commits)

        return Flusher(self.flush, note, self.failures.append)

    def slow(self) -> None:
        self.gate.clear()
        self.begun.clear()


async def begun(disk: Disk) -> None:
    await asyncio.to_thread(disk.begun.wait, 10)


async def test_a_commit_is_answered_behind_a_flush_that_began_after_it() -> None:
    disk = Disk()
    flusher = disk.flusher()
    disk.slow()
    disk.written = 1
    first = flusher.durable()
    await begun(disk)
    disk.written = 2
    second = flusher.durable()
    disk.gate.set()
    await first
    assert disk.durable == 1
    await second
    assert disk.durable == 2
    flusher.stop()


async def test_what_is_held_back_is_written_before_the_flush() -> None:
    disk = Disk()
    told: list[Exception | None] = []

    def prepare() -> None:
        disk.written = 7
        flusher.after(told.append)

    flusher = disk.flusher()
    flusher.prepare = prepare
    await flusher.durable()
    assert disk.durable == 7
    assert told == [None]
    flusher.stop()


async def test_many_share_a_flush() -> None:
    disk = Disk()
    flusher = disk.flusher()
    await asyncio.gather(*(flusher.durable() for _ in range(50)))
    assert disk.groups == [50]
    flusher.stop()


async def test_a_lone_commit_on_a_quick_disk_is_flushed_by_the_loop() -> None:
    disk = Disk()
    flusher = disk.flusher()
    loop = threading.get_ident()
    for _ in range(1_000):
        await flusher.durable()
        if disk.threads[-1] == loop:
            break
    assert disk.threads[0] != loop  # nothing is known of the disk yet
    assert disk.threads[-1] == loop
    await asyncio.gather(flusher.durable(), flusher.durable())
    assert disk.threads[-1] != loop
    flusher.stop()


async def test_the_loop_does_not_flush_on_a_slow_disk() -> None:
    disk = Disk()
    flusher = disk.flusher()
    loop = threading.get_ident()
    while disk.threads[-1:] != [loop]:
        await flusher.durable()
    disk.slow()
    pair = asyncio.gather(flusher.durable(), flusher.durable())
    await begun(disk)
    await asyncio.sleep(2 * QUICK_S)  # the disk takes its time
    disk.gate.set()
    await pair
    await flusher.durable()
    assert disk.threads[-1] != loop
    flusher.stop()


@pytest.mark.parametrize("commits", [1, 2])
async def test_nothing_is_answered_behind_a_failure(commits: int) -> None:
    disk = Disk()
    flusher = disk.flusher()
    while len(disk.threads) < 2 or disk.threads[-1] == disk.threads[0]:
        await flusher.durable()
    disk.failure = OSError("no space")
    told: list[Exception | None] = []
    waiting = [flusher.durable() for _ in range(commits)]
    flusher.after(told.append)
    for future in waiting:
        with pytest.raises(StoreUnavailableError):
            await future
    assert [type(failure) for failure in told] == [StoreUnavailableError]
    assert disk.failures == [disk.failure]
    with pytest.raises(StoreUnavailableError):
        await flusher.durable()
    flusher.stop()
