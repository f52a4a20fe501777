from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hookd_daemon.config import StartupError
from hookd_daemon.http import server as http_server
from hookd_daemon.http.app import build_app
from hookd_daemon.http.health import health_routes
from hookd_daemon.http.server import HttpServer
from hookd_daemon.values import Address
from starlette.types import ASGIApp


class Daemon:
    reason: str | None = "recovering"

    def metrics(self) -> tuple[bytes, str]:
        return b"hookd_claims_total 1.0\n", "text/plain; version=1.0.0; charset=utf-8"

    def not_ready(self) -> str | None:
        return self.reason

    def server(self, address: Address) -> HttpServer:
        return HttpServer(address, self.app)

    def app(self) -> ASGIApp:
        return build_app(health_routes(self.metrics, self.not_ready))


@asynccontextmanager
async def serving(daemon: Daemon, host: str = "127.0.0.1") -> AsyncIterator[Address]:
    server = daemon.server(Address(host, 0))
    yield await server.start()
    await server.stop()


async def get(address: Address, path: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *headers = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in headers]
    return int(status.split()[1]), {name.lower(): value for name, value in pairs}, body


async def test_metrics() -> None:
    async with serving(Daemon()) as address:
        status, headers, body = await get(address, "/metrics")
    assert (status, body) == (200, b"hookd_claims_total 1.0\n")
    assert headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert "server" not in headers


async def test_a_slow_scrape_does_not_hold_up_the_loop() -> None:
    answered = threading.Event()
    daemon = Daemon()
    daemon.metrics = lambda: (b"%d" % answered.wait(10), "text/plain")  # type: ignore[method-assign]
    async with serving(daemon) as address:
        scrape = asyncio.create_task(get(address, "/metrics"))
        assert (await get(address, "/healthz"))[0] == 200
        answered.set()
        assert (await scrape)[2] == b"1"


async def test_health_and_readiness() -> None:
    daemon = Daemon()
    async with serving(daemon) as address:
        assert (await get(address, "/healthz"))[0] == 200
        status, _, body = await get(address, "/readyz")
        assert status == 503
        assert json.loads(body) == {"status": "not serving", "reason": "recovering"}
        daemon.reason = None
        assert (await get(address, "/readyz"))[0] == 200
        assert (await get(address, "/else"))[0] == 404


async def test_binds_a_free_port_and_leaves_it() -> None:
    async with serving(Daemon()) as address:
        assert address.port != 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6() -> None:
    try:
        async with serving(Daemon(), "::1") as address:
            assert (await get(address, "/healthz"))[0] == 200
    except StartupError as error:
        pytest.skip(str(error))


async def test_nothing_is_loaded_before_somebody_comes() -> None:
    built = 0

    def build() -> ASGIApp:
        nonlocal built
        built += 1
        return Daemon().app()

    server = HttpServer(Address("127.0.0.1", 0), build)
    address = await server.start()
    for _ in range(10):
        await asyncio.sleep(0)
    assert built == 0
    answers = await asyncio.gather(*(get(address, "/healthz") for _ in range(5)))
    assert [status for status, _, _ in answers] == [200] * 5
    assert built == 1
    await server.stop()


async def test_what_nobody_asked_for_is_loaded_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "LATEST_S", 0.01)
    built = asyncio.Event()
    loop = asyncio.get_running_loop()

    def build() -> ASGIApp:
        loop.call_soon_threadsafe(built.set)
        return Daemon().app()

    server = HttpServer(Address("127.0.0.1", 0), build)
    await server.start()
    async with asyncio.timeout(10):
        await built.wait()
    await server.stop()


async def test_what_cannot_be_loaded_is_loaded_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "AGAIN_S", 0.01)
    failures = iter([OSError("too many open files"), ImportError("too many open files")])

    def build() -> ASGIApp:
        for failure in failures:
            raise failure
        return Daemon().app()

    server = HttpServer(Address("127.0.0.1", 0), build)
    assert (await get(await server.start(), "/healthz"))[0] == 200
    await server.stop()


async def test_stop_does_not_wait_for_what_cannot_be_loaded() -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def build() -> ASGIApp:
        loop.call_soon_threadsafe(failed.set)
        raise OSError("too many open files")

    server = HttpServer(Address("127.0.0.1", 0), build)
    reader, writer = await asyncio.open_connection(*await server.start())
    async with asyncio.timeout(10):
        await failed.wait()
        await server.stop()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_a_taken_port_is_a_clear_error() -> None:
    async with serving(Daemon()) as address:
        with pytest.raises(
            StartupError, match=r"cannot listen on 127\.0\.0\.1:\d+ for HTTP: .* in use"
        ):
            await Daemon().server(address).start()


async def test_leaves_signal_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(Daemon()):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_stop_does_not_wait_for_idle_connections() -> None:
    server = Daemon().server(Address("127.0.0.1", 0))
    address = await server.start()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b'"}')
    async with asyncio.timeout(5):
        await server.stop()
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await server.stop()


async def test_random_bytes_do_no_harm() -> None:
    async with serving(Daemon()) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(bytes(range(256)) * 10)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert (await get(address, "/healthz"))[0] == 200
