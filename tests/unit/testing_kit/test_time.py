"""Time that is skipped: what comes due on the way, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hookd import HookConflictError, Run, RunFailedError, RunNotFoundError, start
from hookd_daemon.testing import LocalDaemon
from hookd_daemon.testing.clock import MovableClock


def test_a_clock_that_is_moved_goes_on() -> None:
    clock = MovableClock()
    begin = clock.now_ms()
    clock.move_to(begin + 3_600_000)
    moved = clock.now_ms()
    assert begin + 3_600_000 <= moved <= begin + 3_660_000
    clock.move_to(begin)
    assert clock.now_ms() >= moved


async def test_a_skip_takes_so_long(hookd: LocalDaemon) -> None:
    begin = hookd.now()
    await hookd.skip("3d")
    await hookd.skip(timedelta(hours=1))
    await hookd.skip(0)
    spent = hookd.now() - begin - timedelta(days=3, hours=1)
    assert timedelta(0) <= spent < timedelta(minutes=1)


async def test_time_does_not_go_back(hookd: LocalDaemon) -> None:
    with pytest.raises(ValueError, match="span"):
        await hookd.skip(-1)


async def _external(**options: object) -> Run:
    return await start("order", external=True, **options)  # type: ignore[arg-type]


async def test_a_lease_lapses(hookd: LocalDaemon) -> None:
    run = await _external(lease_ttl=30)
    await run.create_hook(token="order-1")
    await hookd.skip(20)
    assert await run.status() == "running"
    await hookd.skip(10)
    assert await run.status() == "failed"
    await (await _external()).create_hook(token="order-1")


async def test_a_hook_expires(hookd: LocalDaemon) -> None:
    run = await _external()
    hook = await run.create_hook(token="order-1", ttl="3d")
    await hookd.skip("2d")
    assert (await hook.info()).status == "active"
    await hookd.skip("1d")
    assert (await hook.info()).status == "expired"


async def test_a_hold_ends(hookd: LocalDaemon) -> None:
    run = await _external()
    await run.create_hook(token="order-1", hold_after="1h")
    await run.complete()
    later = await _external()
    with pytest.raises(HookConflictError):
        await later.create_hook(token="order-1")
    await hookd.skip("1h")
    await later.create_hook(token="order-1")


@pytest.fixture
async def forgetful() -> AsyncIterator[LocalDaemon]:
    async with LocalDaemon(retention="7d") as daemon:
        yield daemon


async def test_retention_passes(forgetful: LocalDaemon) -> None:
    run = await _external()
    await run.complete("done")
    await forgetful.skip("6d")
    assert await run.return_value() == "done"
    await forgetful.skip("1d")
    with pytest.raises(RunNotFoundError):
        await run.status()


async def test_ended_runs_are_kept_if_nothing_is_said(hookd: LocalDaemon) -> None:
    run = await _external()
    await run.complete("done")
    await hookd.skip("52 weeks")
    assert await run.return_value() == "done"


async def test_what_comes_due_happens_in_its_order_and_at_its_time(hookd: LocalDaemon) -> None:
    begin = hookd.now()
    run = await _external(lease_ttl="3h")
    for hours in (2, 1):
        await run.create_hook(token=f"order-{hours}", hook_id=f"hook-{hours}", ttl=f"{hours}h")
    await hookd.skip("1d")
    ends = [event async for event in run.events() if event.type in ("hook_disposed", "run_failed")]
    assert [event.correlation_id for event in ends] == ["hook-1", "hook-2", ""]
    for hours, event in enumerate(ends, start=1):
        assert event.time is not None
        late = event.time - begin - timedelta(hours=hours)
        assert timedelta(0) <= late < timedelta(minutes=1)


async def test_what_is_due_soon_after_a_skip_happens_soon(hookd: LocalDaemon) -> None:
    run = await _external(lease_ttl="1h")
    await hookd.skip(3600 - 0.2)
    with pytest.raises(RunFailedError, match="LEASE_EXPIRED"):
        await run.return_value(timeout=20)


async def test_time_goes_on_by_itself(hookd: LocalDaemon) -> None:
    run = await _external(lease_ttl=0.2)
    with pytest.raises(RunFailedError, match="LEASE_EXPIRED"):
        await run.return_value(timeout=20)


async def test_auto_skip_ends_a_wait_and_keeps_leases(hookd: LocalDaemon) -> None:
    begin = hookd.now()
    async with hookd.client.open_run("service", lease_ttl=60) as held:
        hook = await (await _external()).create_hook(token="order-1", ttl="30d")
        async with hookd.auto_skip():
            assert [payload async for payload in hook] == []
        assert hookd.now() - begin >= timedelta(days=30)
        assert await held.status() == "running"
        await hookd.skip(50)
        assert await held.status() == "running"
    assert await held.status() == "completed"


async def test_auto_skip_goes_to_nothing_that_no_run_waits_for(forgetful: LocalDaemon) -> None:
    begin = forgetful.now()
    run = await _external(lease_ttl="1h")
    await run.create_hook(token="order-1", hold_after="1h")
    await _external(lease_ttl="1h")
    await run.complete("done")
    async with forgetful.auto_skip():
        await asyncio.sleep(0.1)
    assert forgetful.now() - begin < timedelta(minutes=1)


async def test_auto_skip_ends_with_its_block(hookd: LocalDaemon) -> None:
    async with hookd.auto_skip():
        pass
    hook = await (await _external()).create_hook(token="order-1", ttl="1h")
    await hookd.settle()
    assert (await hook.info()).status == "active"


async def test_auto_skip_that_fails_ends_its_block(
    hookd: LocalDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await (await _external()).create_hook(token="order-1", ttl="1h")
    monkeypatch.setattr(hookd._here().time._sweeper, "catch_up", None)
    with pytest.raises(TypeError, match="NoneType"):
        async with hookd.auto_skip():
            await hook
    assert (task := asyncio.current_task()) is not None
    assert not task.cancelling()
