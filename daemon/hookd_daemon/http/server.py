"""The HTTP server: uvicorn, in the daemon's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Generator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp

from hookd_daemon.config import StartupError
from hookd_daemon.http.limits import LimitedProtocol
from hookd_daemon.values import Address

_BACKLOG = 64
_GRACE_SECONDS = 1


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is worth a line of ours.

    When what follows a request is no HTTP, the answer cannot be sent any more,
    and uvicorn logs where that was noticed. Anybody could fill the log so.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], h11.LocalProtocolError))


logging.getLogger("uvicorn.error").addFilter(_is_news)


def _say_in_a_line(record: logging.LogRecord) -> bool:
    """Leaves out where it was noticed that there are no descriptors for one more connection."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError) and record.getMessage().startswith("socket.accept()"):
        record.msg, record.args = f"no connection can be accepted: {error.strerror}", ()
        record.exc_info = record.exc_text = None
    return True


logging.getLogger("asyncio").addFilter(_say_in_a_line)


class HttpServer:
    """Serves an application from the running event loop.

    Args:
        address: Where to listen; port 0 picks a free port.
        app: What is served.
        tls: For HTTPS; None for HTTP.
    """

    def __init__(
        self, address: Address, app: ASGIApp, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = address
        config = uvicorn.Config(
            app,
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            # asyncio accepts so many connections at a time. When it has no
            # descriptor for one, it goes on with the others, and tries each
            # again after a second: with more than one there soon are thousands.
            backlog=1,
        )
        # Otherwise it would make one of its own, which cannot change.
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Address:
        """Binds the address and begins to serve.

        Returns:
            The address that is bound, with the actual port.

        Raises:
            StartupError: The address cannot be bound.
        """
        listener = await self._bind()
        self._task = asyncio.create_task(self._server.serve([listener]), name="hookd-http")
        started = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            started.cancel()
            listener.close()
            self._task.result()
            raise StartupError("the HTTP server ended while it was starting")
        return Address(self._address.host, listener.getsockname()[1])

    async def stop(self) -> None:
        """Stops listening, lets requests that are being answered finish, and returns."""
        if self._task is not None:
            self._server.leave()
            await self._task
            self._task = None

    async def _bind(self) -> socket.socket:
        # Bound here rather than by uvicorn, which exits the process if it cannot.
        host, port = self._address
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, target = found[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setblocking(False)
                listener.bind(target)
                listener.listen(_BACKLOG)
            except BaseException:
                listener.close()
                raise
        except OSError as error:
            raise StartupError(
                f"cannot listen on {self._address} for HTTP: {error.strerror or error} (see --http)"
            ) from None
        return listener


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to the daemon and waits without a timer."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._leave = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._leave.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        # It would wait a tenth of a second for nobody, and each test has a daemon.
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for server in self.servers:
            await server.wait_closed()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Not reached: signals belong to the daemon."""
