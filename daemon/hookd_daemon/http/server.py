"""The HTTP server, which loads what it serves when somebody asks for it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from hookd_daemon import logs
from hookd_daemon.config import StartupError
from hookd_daemon.values import Address

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from hookd_daemon.http.engine import Engine

log = logs.get_logger(__name__)

_BACKLOG = 64
#: Nobody has come for so long, in seconds: it is loaded nevertheless, so that
#: what serves later is what was installed when the daemon started.
LATEST_S = 10.0
#: When it cannot be loaded, as while no file can be opened, so many seconds
#: pass before the next try.
AGAIN_S = 1.0


class HttpServer:
    """Serves an application from the running event loop.

    uvicorn, Starlette and all pages take about as long to load as the rest of
    the daemon. So it listens at once, and loads them when the first
    connection comes: the daemon, and the gRPC API, are there sooner.

    Args:
        address: Where to listen; port 0 picks a free port.
        build: Makes what is served, in a thread.
        tls: For HTTPS; None for HTTP.
    """

    def __init__(
        self,
        address: Address,
        build: Callable[[], ASGIApp],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._build = build
        self._tls = tls
        self._wanted = asyncio.Event()
        self._leaving = asyncio.Event()
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Address:
        """Binds the address; who connects from now on is served.

        Returns:
            The address that is bound, with the actual port.

        Raises:
            StartupError: The address cannot be bound.
        """
        listener = await self._bind()
        self._task = asyncio.create_task(self._serve(listener), name="hookd-http")
        return Address(self._address.host, listener.getsockname()[1])

    async def stop(self) -> None:
        """Stops listening, lets requests that are being answered finish, and returns."""
        self._leaving.set()
        self._wanted.set()
        if self._engine is not None:
            self._engine.leave()
        if self._task is not None:
            await self._task
            self._task = None

    async def _serve(self, listener: socket.socket) -> None:
        with listener:
            await self._until_wanted(listener)
            while not self._leaving.is_set():
                try:
                    engine = await asyncio.to_thread(self._load)
                except Exception as error:
                    # The daemon serves gRPC, whatever this was.
                    no_news = isinstance(error, OSError)
                    log.error(  # noqa: TRY400 - what the system says needs no traceback
                        "what HTTP serves cannot be loaded", error=str(error), exc_info=not no_news
                    )
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._leaving.wait(), AGAIN_S)
                    continue
                if not self._leaving.is_set():
                    self._engine = engine
                    await engine.serve([listener])
                return

    async def _until_wanted(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(listener, self._wanted.set)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LATEST_S)
        finally:
            loop.remove_reader(listener)

    def _load(self) -> Engine:
        from hookd_daemon.http.engine import Engine  # noqa: PLC0415

        return Engine(self._build(), self._tls, _BACKLOG)

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
