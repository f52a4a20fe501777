"""Plain claims too are answered when they are on disk, and not before.

The disk is replaced as in ``test_rocks_durability``, and the claims are made
through the lane, as in ``test_plain_claims``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hookd.v1 import hook_service_pb2 as pb
from hookd_daemon.errors import HookConflictError, StoreUnavailableError
from hookd_daemon.store.rocks import RocksStore

from tests.conformance.test_plain_claims import Call, World, claims, one
from tests.conformance.test_rocks_durability import Disk, settled


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(RocksStore, "_flush", lambda _store: disk.flush())
    return disk


@pytest.fixture
async def world(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Two runs that are on disk, and a token that the first of them has."""
    world = World(tmp_path / "data", monkeypatch)
    for made in (world.start("a"), world.start("b"), create(world, "a", "taken")):
        disk.go.release()
        await made
        await disk.flush_begins()
    yield world
    disk.go.release(1000)
    world.store.close()


def create(world: World, run_id: str, token: str) -> Coroutine[Any, Any, bytes]:
    return world.lane.create_hook(one(run_id, f"h-{token}", token).SerializeToString(), Call())


def create_batch(world: World) -> Coroutine[Any, Any, bytes]:
    request = pb.CreateHooksRequest(hooks=claims(("a", "h1", "x"), ("b", "h1", "taken")))
    return world.lane.create_hooks(request.SerializeToString(), Call())


async def stream(world: World) -> bytes:
    async def sent() -> AsyncIterator[bytes]:
        yield pb.ClaimStreamRequest(hooks=claims(("a", "h1", "x"))).SerializeToString()

    (answer,) = [answer async for answer in world.lane.claim_stream(sent(), Call())]
    return answer


CALLS = {
    "won": lambda world: create(world, "a", "x"),
    "lost": lambda world: create(world, "b", "taken"),
    "batch": create_batch,
    "stream": stream,
}


async def one_behind(
    world: World, disk: Disk, name: str
) -> tuple[asyncio.Task[bytes], asyncio.Task[bytes]]:
    """A claim whose flush is under way, and a call that came too late for that."""
    first = asyncio.create_task(create(world, "a", "first"))
    await disk.flush_begins()
    late = asyncio.create_task(CALLS[name](world))
    await settled(late)
    return first, late


@pytest.mark.parametrize("name", CALLS)
async def test_a_plain_claim_waits_for_its_flush(world: World, disk: Disk, name: str) -> None:
    before = len(world.answers)
    call = asyncio.create_task(CALLS[name](world))
    await disk.flush_begins()
    assert not await settled(call)
    disk.go.release()
    if name == "lost":
        with pytest.raises(HookConflictError):
            await call
    else:
        assert await call
    assert None not in world.answers[before:], "it was not plain"


@pytest.mark.parametrize("name", CALLS)
async def test_a_plain_claim_waits_for_a_flush_that_began_after_it(
    world: World, disk: Disk, name: str
) -> None:
    first, late = await one_behind(world, disk, name)
    disk.go.release()
    await first
    await disk.flush_begins()
    assert not await settled(late)
    disk.go.release()
    await asyncio.wait([late])
    assert isinstance(late.exception(), HookConflictError if name == "lost" else type(None))


@pytest.mark.parametrize("name", CALLS)
async def test_no_plain_claim_is_answered_when_its_flush_fails(
    world: World, disk: Disk, name: str
) -> None:
    disk.broken = OSError(5, "Input/output error")
    call = asyncio.create_task(CALLS[name](world))
    await disk.flush_begins()
    disk.go.release()
    with pytest.raises(StoreUnavailableError):
        await asyncio.wait_for(call, 10)
    with pytest.raises(StoreUnavailableError):
        await create(world, "a", "later")


@pytest.mark.parametrize("name", CALLS)
async def test_plain_claims_behind_a_flush_that_fails_are_refused(
    world: World, disk: Disk, name: str
) -> None:
    """They were held back for the next flush, and none comes."""
    first, late = await one_behind(world, disk, name)
    disk.broken = OSError(5, "Input/output error")
    disk.go.release()
    for call in (first, late):
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(call, 10)
