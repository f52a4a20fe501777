"""Answers that are streams, as server-sent events.

An event's ``id`` is its position: a browser that connects again sends the last
one it saw, and goes on behind it. The last event of a stream says that it is
over: without, a browser would connect again for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message
from starlette.types import Receive, Scope, Send

from hookd_daemon.errors import HookdError, InvalidArgumentError
from hookd_daemon.http.call import disconnected
from hookd_daemon.http.rest.errors import HttpError, body_of, refusal
from hookd_daemon.http.rest.routes import Route
from hookd_daemon.http.rest.writing import write
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

#: So often, in seconds, a line goes out: so each side notices that the other
#: has gone without a word.
BEAT_S = 15.0

CONTENT_TYPE = "text/event-stream"

#: The field of a request that says where to go on, by the call.
POSITION: Mapping[str, str] = {"WatchRun": "after_seq", "ReceivePayloads": "after_payload_seq"}

_MOST = 2**64 - 1

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # Proxies are told to hand on what comes at once.
    (b"x-accel-buffering", b"no"),
]


def go_on(route: Route, request: Any, last_event_id: str | None) -> None:
    """Has a stream go on behind the last event that a client saw.

    Raises:
        InvalidArgumentError: it is no event's id.
    """
    if not last_event_id:
        return
    if not (last_event_id.isascii() and last_event_id.isdecimal()) or int(last_event_id) > _MOST:
        raise InvalidArgumentError("last-event-id", f"must be a whole number from 0 to {_MOST}")
    setattr(request, POSITION[route.call], int(last_event_id))


def events_of(message: Any) -> str:
    """A message of a stream, as an event."""
    kind = message.DESCRIPTOR.name
    if kind == "WatchRunResponse":
        return _event("event", write(message.event), message.event.seq)
    if message.WhichOneof("item") == "payload":
        return _event("payload", write(message.payload), message.payload.payload_seq)
    return _event("closed", write(message.closed))


def _event(name: str, data: str, position: int | None = None) -> str:
    # Line ends stand in JSON only between its parts.
    line = data.replace("\r", " ").replace("\n", " ")
    numbered = "" if position is None else f"id: {position}\n"
    return f"{numbered}event: {name}\ndata: {line}\n\n"


Open = Callable[[Callable[[], None]], AsyncGenerator[Message]]


class EventStream:
    """One answer.

    Args:
        route: the route.
        opened: opens the stream of messages, and is given what to tell when it
            is known that it is not refused.
    """

    def __init__(self, route: Route, opened: Open) -> None:
        self._route = route
        self._opened = opened
        self._accepted = asyncio.Event()
        self._started = False
        self._sending = asyncio.Lock()

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends all of it, until it ends or the client goes."""

        async def put(text: str, *, more: bool = True) -> None:
            async with self._sending:
                if not self._started:
                    self._started = True
                    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        async def refuse(error: HookdError | HttpError | None) -> None:
            if self._started:
                await put(_event("failed", body_of(error)), more=False)
            else:
                self._started = True
                await refusal(error)(scope, receive, send)

        tasks = [
            asyncio.ensure_future(work)
            for work in (self._pump(put, refuse), self._beat(put), disconnected(receive))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self,
        put: Callable[..., Awaitable[None]],
        refuse: Callable[[HookdError | HttpError | None], Awaitable[None]],
    ) -> None:
        try:
            async with aclosing(self._opened(self._accepted.set)) as messages:
                async for message in messages:
                    await put(events_of(message))
            ended = self._route.call == "WatchRun"
            await put(_event("end", "{}") if ended else "", more=False)
        except (HookdError, HttpError) as error:
            await refuse(error)
        except Exception:
            log.exception("a call failed", method=self._route.path)
            await refuse(None)

    async def _beat(self, put: Callable[..., Awaitable[None]]) -> None:
        await self._accepted.wait()
        while True:
            await put(":\n\n")
            await asyncio.sleep(BEAT_S)
