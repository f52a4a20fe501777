"""Keeps open pages fresh, by server-sent events.

A page is made of fragments, each with a name. Here they are made again when
something has happened, and those that have changed are sent.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from hookd_daemon.api.backend import Backend
from hookd_daemon.api.gate import Gate
from hookd_daemon.console.headers import PRIVATE
from hookd_daemon.console.visit import STATUS, Reception, Visit
from hookd_daemon.errors import HookdError, LimitExceededError, UnauthenticatedError
from hookd_daemon.http.call import DisconnectedError, while_connected
from hookd_daemon.http.guard import Guard
from hookd_daemon.store.tx import Topic

#: So many pages are kept fresh at one time.
MOST_PAGES = 64
#: Between two looks there are at least and at most so many seconds.
LEAST_PAUSE_S = 0.5
MOST_PAUSE_S = 0.5
#: A browser that has gone is noticed by what is sent, at least so often.
HEARTBEAT_S = 15.0

#: Browsers count on from a time by themselves.
_TIMES = re.compile(r">[^<]*</time>")

Fragments = dict[str, str]


@dataclass(frozen=True, slots=True)
class LivePage:
    """A page that is kept fresh.

    Attributes:
        fragments: makes its fragments.
        mark: gives something that is another one when there may be news that no
            topic tells of.
        topics: what else tells of news.
    """

    fragments: Callable[[Visit], Awaitable[Fragments]]
    mark: Callable[[], object]
    topics: Callable[[Visit], Awaitable[Sequence[Topic]]]


@dataclass(slots=True)
class Live:
    """Serves the streams of events.

    Attributes:
        reception: lets people in.
        guard: refuses what pages of other sites send.
        gate: counts the streams.
        backend: tells of commits.
        pages: the pages, by their names.
        open: how many are kept fresh now.
    """

    reception: Reception
    guard: Guard
    gate: Gate
    backend: Backend
    pages: dict[str, LivePage]
    open: int = field(default=0)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request for events, as an ASGI application."""
        request = Request(scope)
        name = request.path_params["page"]
        stream = _Stream(send)
        try:
            await while_connected(receive, self._serve(request, name, stream))
        except DisconnectedError:
            return

    async def _serve(self, request: Request, name: str, stream: _Stream) -> None:
        try:
            self.guard.check(request.method, request.headers)
            page = self.pages.get(name)
            if page is None:
                await stream.refuse(404)
                return
            visit = self.reception.enter(request)
            if self.open >= MOST_PAGES:
                raise LimitExceededError("console_pages", MOST_PAGES, "close some")
            self.open += 1
            try:
                with self.gate.stream(visit.caller.project), visit.caller.stay():
                    await self._keep_fresh(request, page, visit, stream)
            finally:
                self.open -= 1
        except UnauthenticatedError:
            # Browsers do not tell a script which status it was.
            await stream.send("gone", {})
        except HookdError as error:
            await stream.refuse(STATUS.get(error.code, 500))
        await stream.end()

    async def _keep_fresh(
        self, request: Request, page: LivePage, visit: Visit, stream: _Stream
    ) -> None:
        now = asyncio.get_running_loop().time
        with self.backend.store.subscribe(*await page.topics(visit)) as news:
            sent: Fragments = {}
            mark: object = None
            last = now()
            while True:
                fresh_mark = page.mark()
                # Before anything is answered: who may not see the page is told so.
                made = await page.fragments(visit)
                await stream.begin()
                changed = {
                    name: html for name, html in made.items() if sent.get(name) != _still(html)
                }
                if changed:
                    await stream.send("fragments", changed)
                    sent |= {name: _still(html) for name, html in changed.items()}
                    last = now()
                mark = fresh_mark
                await asyncio.sleep(LEAST_PAUSE_S)
                while not await news.wait(MOST_PAUSE_S):
                    # Who has signed out, or whose time is up, is told no more.
                    visit = self.reception.enter(request)
                    if now() - last > HEARTBEAT_S:
                        await stream.heartbeat()
                        last = now()
                    if page.mark() != mark:
                        break
                else:
                    visit = self.reception.enter(request)


def _still(html: str) -> str:
    """A fragment without what changes by itself as time goes by."""
    return _TIMES.sub("></time>", html)


class _Stream:
    """The answer: a stream of events, or a refusal."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._began = False
        self._ended = False

    async def begin(self) -> None:
        """Sends the head of the answer."""
        if not self._began:
            await self._head(200, "text/event-stream; charset=utf-8")
            await self._body(b"retry: 1000\n\n")

    async def send(self, kind: str, data: dict[str, str]) -> None:
        """Sends an event."""
        await self.begin()
        text = json.dumps(data, ensure_ascii=True)
        await self._body(f"event: {kind}\ndata: {text}\n\n".encode())

    async def heartbeat(self) -> None:
        """Sends nothing that anybody hears."""
        await self._body(b":\n\n")

    async def refuse(self, status: int) -> None:
        """Answers with a status and nothing else, if nothing was answered yet."""
        if not self._began:
            await self._head(status, "text/plain; charset=utf-8")
        await self.end()

    async def end(self) -> None:
        """Ends the answer."""
        if self._began and not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _head(self, status: int, kind: str) -> None:
        self._began = True
        headers = {**PRIVATE, "content-type": kind}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _body(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
