"""What RocksDB adds: everything is there again, and grows on, after a reopen."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks.directory import FORMAT, DataDirectoryError
from hookd_daemon.store.rocks.tx import REVISION_BLOCK
from hookd_daemon.store.tx import Tx

from tests.conformance.conftest import Opener, claim, claim_of

P = "project"
ROOT = Path(__file__).parents[2]

#: Opens the directory, does as it is told, and dies without a goodbye.
CRASHER = """
import asyncio, os, signal, sys
from pathlib import Path
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store.rocks import RocksStore
from tests.conformance.conftest import claim

async def main():
    store = RocksStore(Path(sys.argv[1]))

    async def work(tx):
        tx.put(b"Rkept", b"1")
        record = ClaimRecord(run_uid=7, run_id="run-7", hook_id="h")
        assert await claim(tx, "project", sys.argv[2], record) is None
        return record.revision

    async def broken(tx):
        tx.put(b"Rhalf", b"1")
        await claim(tx, "project", "half", ClaimRecord(run_uid=8))
        raise ValueError

    print(await store.transact(work), flush=True)
    try:
        await store.transact(broken)
    except ValueError:
        pass
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def take(tx: Tx, token: str, run: int, project: str = P) -> int:
    record = claim_of(run)
    assert await claim(tx, project, token, record) is None
    return record.revision


async def owner(tx: Tx, token: str, project: str = P) -> ClaimRecord | None:
    return await tx.owner(project, token)


async def get(tx: Tx, key: bytes) -> bytes | None:
    return await tx.get(key)


async def revision(tx: Tx) -> int:
    return tx.revision()


def run_crasher(folder: Path, token: str) -> subprocess.CompletedProcess[str]:
    """Another process opens the directory, claims a token, and is killed."""
    return subprocess.run(
        [sys.executable, "-c", CRASHER, str(folder / "data"), token],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def crash(folder: Path, token: str) -> int:
    """The same; returns the revision that it was told."""
    done = run_crasher(folder, token)
    assert done.returncode == -9, done.stderr
    return int(done.stdout)


async def test_reopening_fills_the_index(rocks_opener: Opener) -> None:
    store = rocks_opener()
    revisions = {
        (project, token): await store.transact(take, token, run, project)
        for run, (project, token) in enumerate(
            [(P, "a"), (P, "b\0c"), (P, "🎣"), ("other", "a"), ("project2", "a")], start=1
        )
    }
    gone = await store.transact(owner, "b\0c")
    assert gone is not None

    async def free(tx: Tx) -> None:
        tx.release(P, "b\0c", gone)

    await store.transact(free)
    del revisions[P, "b\0c"]
    rocks_opener.close(store)

    again = rocks_opener()
    assert isinstance(again, RocksStore)
    assert again.recovered_tokens == len(revisions) == len(again.index)
    assert again.recovery_seconds > 0
    for (project, token), given in revisions.items():
        held = await again.transact(owner, token, project)
        assert held is not None
        assert held.revision == given
        assert again.index.owner(project, token.encode()) == (held.run_uid, given)
    assert await again.transact(owner, "b\0c") is None
    assert [n for n, _ in again.index.projects()] == ["other", P, "project2"]

    async def held_by(tx: Tx, run: int) -> list[str]:
        return [token for token, _ in await tx.claims_of(P, run)]

    assert await again.transact(held_by, 3) == ["🎣"]


async def test_recovery_in_several_batches(
    rocks_opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd_daemon.store.rocks.recovery.CLAIMS_AT_ONCE", 7)
    store = rocks_opener()

    async def take_many(tx: Tx, project: str) -> None:
        for run in range(1, 31):
            await take(tx, f"t{run}", run, project)

    for project in ("a", "b"):
        await store.transact(take_many, project)
    rocks_opener.close(store)
    again = rocks_opener()
    assert isinstance(again, RocksStore)
    assert again.recovered_tokens == 60
    assert again.index.projects() == [("a", 30), ("b", 30)]
    for project in ("a", "b"):
        for run in range(1, 31):
            held = await again.transact(owner, f"t{run}", project)
            assert held is not None
            assert held.run_uid == run


async def test_a_killed_process_leaves_what_it_acknowledged(
    rocks_opener: Opener, tmp_path: Path
) -> None:
    told = crash(tmp_path, "t")
    store = rocks_opener()
    assert isinstance(store, RocksStore)
    held = await store.transact(owner, "t")
    assert held is not None
    assert (held.run_uid, held.revision) == (7, told)
    assert await store.transact(get, b"Rkept") == b"1"
    # And nothing of the function that failed.
    assert await store.transact(get, b"Rhalf") is None
    assert await store.transact(owner, "half") is None
    assert store.recovered_tokens == 1


async def test_revisions_grow_over_reopening(rocks_opener: Opener) -> None:
    given: list[int] = []
    for _ in range(3):
        store = rocks_opener()
        given += [await store.transact(revision) for _ in range(3)]
        rocks_opener.close(store)
    assert all(later > sooner for sooner, later in pairwise(given))


async def test_revisions_grow_over_a_crash_between_reservations(
    rocks_opener: Opener, tmp_path: Path
) -> None:
    """The process dies with most of its reserved block not given out, twice."""
    given = [crash(tmp_path, "first"), crash(tmp_path, "second")]
    store = rocks_opener()
    given.append(await store.transact(revision))
    assert given[0] < given[1] < given[2]
    # A whole block is skipped at most: 64 bits last for ever.
    assert given[2] <= 3 * (REVISION_BLOCK + 3)


async def test_the_bound_is_kept_when_a_block_is_used_up(
    rocks_opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the function that crossed the bound came to nothing."""
    monkeypatch.setattr("hookd_daemon.store.rocks.tx.REVISION_BLOCK", 4)
    highest = 0

    async def broken(tx: Tx) -> None:
        for _ in range(6):
            tx.revision()
        raise ValueError("no")

    for go in range(6):
        store = rocks_opener()
        assert isinstance(store, RocksStore)
        if go % 2:
            with pytest.raises(ValueError, match="no"):
                await store.transact(broken)
        for _ in range(go * 3 + 1):
            given = await store.transact(revision)
            assert given > highest
            highest = given
            assert store.reserved_revisions >= highest
        rocks_opener.close(store)


async def test_a_future_format_is_refused(rocks_opener: Opener, tmp_path: Path) -> None:
    rocks_opener.close(rocks_opener())
    (tmp_path / "data" / "format").write_text(f"{FORMAT + 1}\n")
    with pytest.raises(DataDirectoryError, match=rf"has format {FORMAT + 1}.*newer hookd"):
        rocks_opener()
    # The refusal has not kept the lock, and the format is as it was.
    assert (tmp_path / "data" / "format").read_text() == f"{FORMAT + 1}\n"
    (tmp_path / "data" / "format").write_text(f"{FORMAT}\n")
    rocks_opener()


async def test_a_second_open_is_refused_with_the_pid(rocks_opener: Opener, tmp_path: Path) -> None:
    store = rocks_opener()
    other = await asyncio.to_thread(run_crasher, tmp_path, "t")
    assert f"in use by another hookd (process {os.getpid()})" in other.stderr
    with pytest.raises(DataDirectoryError, match=rf"process {os.getpid()}\b.*--data-dir"):
        rocks_opener()
    # The first one goes on undisturbed, and the next may come when it is gone.
    await store.transact(take, "t", 1)
    rocks_opener.close(store)
    assert await rocks_opener().transact(owner, "t") is not None
