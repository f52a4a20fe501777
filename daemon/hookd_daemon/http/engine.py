"""uvicorn, as the daemon uses it: in its event loop, on a listener that is bound already."""

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

from hookd_daemon.http.limits import LimitedProtocol

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


class Engine(uvicorn.Server):
    """A uvicorn that leaves signals to the daemon and waits without a timer.

    Args:
        app: What is served.
        tls: For HTTPS; None for HTTP.
        backlog: So many connections may wait to be accepted.
    """

    def __init__(self, app: ASGIApp, tls: ssl.SSLContext | None, backlog: int) -> None:
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
        super().__init__(config)
        self._backlog = backlog
        self._leave = asyncio.Event()

    def leave(self) -> None:
        """Has `serve` let requests that are being answered finish, and return."""
        self.should_exit = True
        self._leave.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Captures none: signals belong to the daemon."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts connections one at a time, and lets others wait."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(self._backlog)

    async def main_loop(self) -> None:
        """Returns when it is to leave."""
        await self.on_tick(0)
        await self._leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes what listens, and connections."""
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
