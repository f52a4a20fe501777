"""The daemon inside a test's process: its life, and what it leaves behind."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import threading
from pathlib import Path

import hookd
import pytest
import structlog
from hookd_daemon.config import StartupError
from hookd_daemon.testing import LocalDaemon
from pydantic import ValidationError


async def test_ambient_functions_and_new_clients_use_it() -> None:
    async with LocalDaemon() as daemon:
        run = await hookd.start("order", run_id="run-1")
        async with hookd.connect() as client:
            assert (client.address, client.project) == (daemon.address, "default")
            assert await client.get_run("run-1").status() == "pending"
        assert await daemon.client.get_run(run.run_id).status() == "pending"


async def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKD_ADDRESS", "127.0.0.1:1")
    monkeypatch.delenv("HOOKD_PROJECT", raising=False)
    monkeypatch.setenv("HOOKD_API_KEY", "secret")
    before = dict(os.environ)
    async with LocalDaemon() as daemon:
        assert os.environ["HOOKD_ADDRESS"] == daemon.address
        assert "HOOKD_API_KEY" not in os.environ
        client = hookd.ambient_client()
    assert dict(os.environ) == before
    assert client.closed
    assert hookd.ambient_client().address == "127.0.0.1:1"


async def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with LocalDaemon() as daemon:
        await hookd.start("order")
        assert os.listdir(tmp_path)
        address = daemon.address
    assert not os.listdir(tmp_path)
    assert asyncio.all_tasks() == tasks
    # Those of grpc stay for the whole process.
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert not [name for name in left if "flush" in name]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address.split(":"))


async def test_each_is_a_new_one() -> None:
    for _ in range(2):
        async with LocalDaemon() as daemon:
            assert [run async for run in daemon.client.list_runs()] == []
            await hookd.start("order", run_id="run-1")


async def test_it_takes_the_settings_of_the_daemon() -> None:
    async with LocalDaemon(max_token_bytes=4) as daemon, daemon.client.open_run("order") as run:
        with pytest.raises(hookd.InvalidArgumentError, match="4 bytes"):
            await run.create_hook(token="too long")
    with pytest.raises(ValidationError, match="max_tokens"):
        async with LocalDaemon(max_tokens=4):
            pass
    with pytest.raises(RuntimeError, match="once"):
        async with daemon:
            pass


async def test_a_daemon_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StartupError("the port is taken")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("hookd_daemon.server.GrpcServer.start", refuse)
    before = dict(os.environ)
    with pytest.raises(StartupError, match="the port is taken"):
        async with LocalDaemon():
            pass
    assert not os.listdir(tmp_path)
    assert dict(os.environ) == before


async def test_the_process_is_not_tuned_for_it() -> None:
    import gc

    before = gc.get_threshold(), gc.get_freeze_count(), sys.getswitchinterval()
    async with LocalDaemon():
        assert (gc.get_threshold(), gc.get_freeze_count(), sys.getswitchinterval()) == before


async def test_it_logs_through_logging(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    structlog.reset_defaults()
    caplog.set_level(logging.INFO)
    async with LocalDaemon():
        await hookd.start("order")
    assert any("serving" in record.getMessage() for record in caplog.records)
    assert capsys.readouterr() == ("", "")
    assert not structlog.is_configured()


async def test_a_restart_keeps_everything() -> None:
    async with LocalDaemon() as daemon:
        run = await hookd.start("order", external=True)
        await run.create_hook(token="order-1")
        await daemon.skip("1d")
        address, time = daemon.address, daemon.now()
        waiting = asyncio.ensure_future(run.return_value())
        await daemon.restart()
        assert daemon.address == address
        assert daemon.now() >= time
        assert (await hookd.get_hook_by_token("order-1")).run == run
        await run.complete("done")
        assert await waiting == "done"


def test_another_event_loop_is_refused() -> None:
    with asyncio.Runner() as runner, asyncio.Runner() as other:
        daemon = LocalDaemon()
        runner.run(daemon.__aenter__())
        try:
            with pytest.raises(RuntimeError, match="another event loop"):
                other.run(daemon.skip(1))
        finally:
            runner.run(daemon.__aexit__(None, None, None))
    with pytest.raises(RuntimeError, match="does not run"):
        asyncio.run(daemon.skip(1))
