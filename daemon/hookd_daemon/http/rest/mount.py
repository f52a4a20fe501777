"""Where the JSON API stands among the other routes of the HTTP port."""

from __future__ import annotations

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from hookd_daemon.http.calls import Calls
from hookd_daemon.http.guard import Guard
from hookd_daemon.http.rest.endpoint import Endpoint

_PREFIX = b"/v1/"


class _Below(BaseRoute):
    """Everything whose path begins so.

    By the path as it was sent: when its percent signs are undone, nobody can
    tell a token with a slash from two segments.
    """

    def __init__(self, prefix: bytes, app: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See ``BaseRoute.matches``."""
        meant = scope["type"] == "http" and scope["raw_path"].startswith(self._prefix)
        return (Match.FULL if meant else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ``BaseRoute.handle``."""
        await self._app(scope, receive, send)


def rest_routes(calls: Calls, guard: Guard) -> list[BaseRoute]:
    """Makes the routes of the JSON API and of the pages that describe it.

    Args:
        calls: answers the calls.
        guard: refuses what pages of other sites send.
    """
    return [_Below(_PREFIX, Endpoint(calls, guard))]
