"""What a connection may cost: sizes, times, and how many there may be.

This stands on names of uvicorn that it does not promise to keep: of
``H11Protocol`` the methods of an ``asyncio.Protocol``, ``handle_events``,
``on_response_complete``, ``send_400_response`` and
``_unsupported_upgrade_warning``, and the attributes ``app``, ``conn``,
``connections``, ``cycle``, ``loop`` and ``transport``; of a cycle ``disconnected`` and
``message_event``. ``tests/e2e/daemon/test_http_limits.py``
sees whether it still does what it is for.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

#: The first line of a request and its headers have together at most so many bytes.
MAX_HEAD_BYTES = 32 * 1024
#: So many connections are served at one time; a few more are told that there
#: are too many, and the rest is closed unheard.
MAX_CONNECTIONS = 512
MAX_REFUSED_CONNECTIONS = 64
#: So long, in seconds, a client may take to send the headers of a request, and
#: then its body.
HEAD_S = 10.0
BODY_S = 30.0
#: A client that takes nothing of its answer for so long, in seconds, has gone.
SLOW_READER_S = 60.0


class LimitedConnection(h11.Connection):
    """HTTP/1.1 with a limit for what stands before a body.

    h11 has one as well. It counts only while something is missing, and what
    comes at once may be larger.
    """

    def next_event(self) -> Any:
        """See ``h11.Connection.next_event``."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            size = len(event.target) + sum(len(name) + len(value) for name, value in event.headers)
            if size > MAX_HEAD_BYTES:
                raise h11.RemoteProtocolError("the headers are too long", error_status_hint=431)
        return event


class LimitedProtocol(H11Protocol):
    """Serves a connection, within limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = LimitedConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._awaited: tuple[str, object] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS + MAX_REFUSED_CONNECTIONS:
            transport.abort()
            return
        if len(self.connections) > MAX_CONNECTIONS:
            self.app = _too_many_connections
        self._await("head", None, HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._await_nothing()
        self.resume_writing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Reads what came, and sees what is awaited now."""
        super().handle_events()
        if self.transport.is_closing():
            self._await_nothing()
            return
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._await("body", self.cycle, BODY_S)
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._await("head", self.cycle, HEAD_S)
        else:
            self._await_nothing()

    def _await(self, what: str, cycle: object, seconds: float) -> None:
        if self._awaited is not None and self._awaited == (what, cycle):
            return
        self._await_nothing()
        self._awaited = (what, cycle)
        self._late = self.loop.call_later(seconds, self._give_up)

    def _await_nothing(self) -> None:
        self._awaited = None
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        """Ends a connection whose client has not sent in time what was awaited."""
        idle = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        self._await_nothing()
        if idle:
            self.transport.close()
        else:
            self._refuse(408)

    def _leave_cycle(self) -> None:
        """Has whoever answers notice that the client is not there any more."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _refuse(self, status: int) -> None:
        """Ends a connection, and says why unless an answer is on its way already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"content-length", b"0"), (b"connection", b"close")]
            response = h11.Response(
                status_code=status, headers=headers, reason=STATUS_PHRASES[status]
            )
            for event in (response, h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._leave_cycle()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, or too long."""
        error = sys.exc_info()[1]
        hint = getattr(error, "error_status_hint", 400)
        self._refuse(hint if hint in STATUS_PHRASES else 400)

    def pause_writing(self) -> None:
        """See ``asyncio.Protocol``."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(SLOW_READER_S, self.transport.abort)

    def resume_writing(self) -> None:
        """See ``asyncio.Protocol``."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _unsupported_upgrade_warning(self) -> None:
        """Says nothing: anybody could fill the log so."""


async def _too_many_connections(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body"})
