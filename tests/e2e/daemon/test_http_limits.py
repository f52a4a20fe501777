"""What a connection to the HTTP port may cost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
from hookd_daemon.http import limits
from hookd_daemon.http.server import HttpServer
from hookd_daemon.values import Address
from starlette.types import Receive, Scope, Send

from tests.support.concurrency import eventually
from tests.support.daemon import PATIENCE, Daemon


def connected(daemon: Daemon) -> socket.socket:
    host, _, port = daemon.http.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def answered(link: socket.socket) -> bytes:
    """All that comes until the daemon closes."""
    parts = []
    while part := link.recv(65536):
        parts.append(part)
    return b"".join(parts)


GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("slowly", [False, True], ids=["at once", "bit by bit"])
def test_headers_that_are_too_long(shared_daemon: Daemon, slowly: bool) -> None:
    """All of them, or what has come of them: 431, and the connection is closed."""
    long = b"x: " + b"y" * limits.MAX_HEAD_BYTES
    with connected(shared_daemon) as link:
        link.sendall(GET + long + (b"" if slowly else b"\r\n\r\n"))
        assert answered(link).startswith(b"HTTP/1.1 431 ")


def test_a_path_that_is_too_long(shared_daemon: Daemon) -> None:
    with connected(shared_daemon) as link:
        path = b"/" + b"p" * limits.MAX_HEAD_BYTES
        link.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answered(link).startswith(b"HTTP/1.1 431 ")


def test_headers_just_short_enough(shared_daemon: Daemon) -> None:
    value = b"y" * (limits.MAX_HEAD_BYTES - 40)
    with connected(shared_daemon) as link:
        link.sendall(GET + b"x: " + value + b"\r\nconnection: close\r\n\r\n")
        assert answered(link).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "junk",
    [
        b"\0\1\2\3\r\n\r\n",
        GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        GET + b"content-length: -1\r\n\r\n",
        GET + b"content-length: 1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n",
        GET + b"bad header\r\n\r\n",
        GET + b"x: a\0b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_and_closed(shared_daemon: Daemon, junk: bytes) -> None:
    with connected(shared_daemon) as link:
        link.sendall(junk)
        assert answered(link)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501")


def test_more_connections_than_there_may_be(daemon: Daemon) -> None:
    """Some more are told so, the rest is closed; and there is room again when others go."""
    with ExitStack() as links:
        for _ in range(limits.MAX_CONNECTIONS):
            links.enter_context(connected(daemon))
        refused = range(limits.MAX_REFUSED_CONNECTIONS)
        told = [links.enter_context(connected(daemon)) for _ in refused]
        with connected(daemon) as link, suppress(ConnectionResetError):
            assert answered(link) == b""
        for link in told:
            link.sendall(GET + b"\r\n")
            text = answered(link)
            assert text.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1\r\n" in text.lower()

    def served() -> bool:
        with connected(daemon) as link:
            link.sendall(GET + b"connection: close\r\n\r\n")
            return answered(link).startswith(b"HTTP/1.1 200 ")

    eventually(served)


class Told:
    """An application that reads a request, and says what it saw of it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/early":
            await self._answer(send)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.seen.append("disconnect")
                break
            if not message.get("more_body"):
                self.seen.append("whole")
                break
        if scope["path"] != "/early":
            await self._answer(send)

    async def _answer(self, send: Send) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 204, "headers": headers[:0]})
        await send({"type": "http.response.body"})


@asynccontextmanager
async def told(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Told, Address]]:
    """A server that has little patience."""
    monkeypatch.setattr(limits, "HEAD_S", 0.05)
    monkeypatch.setattr(limits, "BODY_S", 0.05)
    app = Told()
    server = HttpServer(Address("127.0.0.1", 0), lambda: app)
    yield app, await server.start()
    await server.stop()


async def said(address: Address, *parts: bytes) -> bytes:
    """What is answered to bytes that end too soon, until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"


async def test_headers_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async with told(monkeypatch) as (app, address):
        assert (await said(address, b"GET / HTTP/1.1\r\nhost")).startswith(b"HTTP/1.1 408 ")
        assert await said(address) == b""
        # The second request of a connection.
        text = await said(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
        assert text.startswith(b"HTTP/1.1 204 ")
        assert b"HTTP/1.1 408 " in text
        assert app.seen == ["whole"]


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async with told(monkeypatch) as (app, address):
        assert (await said(address, POST, b"part")).startswith(b"HTTP/1.1 408 ")
        assert app.seen == ["disconnect"]
        early = await said(address, POST.replace(b"POST /", b"POST /early"), b"part")
        assert early.startswith(b"HTTP/1.1 204 ")
        assert b"408" not in early


async def test_a_client_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends in the midst of the answer, and what makes it is told."""
    monkeypatch.setattr(limits, "SLOW_READER_S", 0.05)
    ended = asyncio.Event()
    part = {"type": "http.response.body", "body": bytes(2**20), "more_body": True}

    async def flood(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(50):
            await send(part)
        await send({"type": "http.response.body"})
        ended.set()

    server = HttpServer(Address("127.0.0.1", 0), lambda: flood)
    with socket.create_connection(await server.start()) as link:
        link.sendall(GET + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
        await server.stop()
        received = 0
        with suppress(ConnectionResetError):
            while got := len(link.recv(2**20)):
                received += got
    assert received < 50 * 2**20
