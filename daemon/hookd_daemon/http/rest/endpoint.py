"""Answers the requests of the JSON API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import ParamSpec, TypeVar

from google.protobuf.message import Message
from starlette.datastructures import Headers
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from hookd_daemon.errors import HookdError, InvalidArgumentError
from hookd_daemon.http.call import DisconnectedError, while_connected
from hookd_daemon.http.calls import Calls
from hookd_daemon.http.guard import Guard
from hookd_daemon.http.rest.errors import HttpError, json_response, refusal
from hookd_daemon.http.rest.events import EventStream, go_on
from hookd_daemon.http.rest.request import (
    check_content_type,
    fill_from_body,
    fill_from_url,
    query_of,
    read_body,
)
from hookd_daemon.http.rest.routes import Route, find, verbs_of
from hookd_daemon.http.rest.writing import write
from hookd_daemon.logs import get_logger

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: JSON of so many bytes is read or written within a millisecond or two.
_LARGE_BYTES = 64 * 1024


class Endpoint:
    """Answers what comes for ``/v1/``; an ASGI application.

    Args:
        calls: answers the calls that the requests are.
        guard: refuses what pages of other sites send.
    """

    def __init__(self, calls: Calls, guard: Guard) -> None:
        self._calls = calls
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        verb, path = scope["method"], scope["raw_path"].decode("latin-1")
        headers = Headers(scope=scope)
        try:
            self._guard.check(verb, headers)
            route, parameters = _routed(verb, path)
            if route.has_body:
                check_content_type(headers.get("content-type"))
            asked = _Asked(self._calls, route, parameters, scope["query_string"], headers, receive)
            if route.is_stream:
                await EventStream(route, asked.stream).respond(scope, receive, send)
                return
            answer = await while_connected(asked.receive_later, asked.answer())
            response = json_response(await _aside(answer.ByteSize(), write, answer))
        except DisconnectedError:
            return
        except (HookdError, HttpError) as error:
            response = refusal(error)
        except Exception:
            log.exception("a request failed")
            response = refusal(None)
        await response(scope, receive, send)


class _Asked:
    """One request for a route, and the ways to have it answered."""

    def __init__(
        self,
        calls: Calls,
        route: Route,
        path: Mapping[str, str],
        query: bytes,
        headers: Headers,
        receive: Receive,
    ) -> None:
        self._calls = calls
        self._route = route
        self._path = path
        self._query = query
        self._headers = headers
        self._receive = receive
        self._read = asyncio.Event()

    async def answer(self) -> Message:
        """Has a call with one answer answered."""
        try:
            return await self._calls.answer(self._route.path, self._request, self._headers)
        except InvalidArgumentError as error:
            raise self._named(error) from None

    async def stream(self, accepted: Callable[[], None]) -> AsyncGenerator[Message]:
        """Has a call answered whose answer is a stream."""
        answers = self._calls.stream(
            self._route.path, self._request, self._headers, accepted=accepted
        )
        try:
            async with aclosing(answers):
                async for message in answers:
                    yield message
        except InvalidArgumentError as error:
            raise self._named(error) from None

    async def receive_later(self) -> AsgiMessage:
        """What the server has to say once the request was read whole."""
        await self._read.wait()
        return await self._receive()

    async def _request(self) -> Message:
        """Reads the request; called once its sender was let in."""
        route, headers = self._route, self._headers
        request = route.new_request()
        fill_from_url(route, request, self._path, query_of(self._query))
        if route.has_body:
            body = await read_body(
                self._receive,
                headers.get("content-length"),
                waits_for_word="expect" in headers,
            )
            await _aside(len(body), fill_from_body, route, request, body)
        if route.is_stream:
            go_on(route, request, headers.get("last-event-id"))
        self._read.set()
        return request

    def _named(self, error: InvalidArgumentError) -> InvalidArgumentError:
        """An error that calls its field what it is called here."""
        return InvalidArgumentError(self._route.outer_name(error.field), error.description)


async def _aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does what takes long for a large message in a thread: other calls go on meanwhile."""
    if size <= _LARGE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _routed(verb: str, path: str) -> tuple[Route, Mapping[str, str]]:
    found = find(verb, path)
    if found is not None:
        return found
    allowed = ", ".join(verbs_of(path))
    if not allowed:
        raise HttpError(404, "NO_ROUTE", "there is nothing here; see /v1/docs")
    raise HttpError(
        405,
        "METHOD_NOT_ALLOWED",
        f"{verb} is not possible here, but {allowed}",
        {"allow": allowed},
    )
