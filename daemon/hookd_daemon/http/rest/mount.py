"""Where the JSON API stands among the other routes of the HTTP port."""

from __future__ import annotations

import json
from functools import cache

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hookd_daemon.http.calls import Calls
from hookd_daemon.http.guard import Guard
from hookd_daemon.http.rest import docs
from hookd_daemon.http.rest.endpoint import Endpoint
from hookd_daemon.http.rest.errors import json_response
from hookd_daemon.http.rest.openapi import document

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


def rest_routes(calls: Calls, guard: Guard, max_token_bytes: int) -> list[BaseRoute]:
    """Makes the routes of the JSON API and of the pages that describe it.

    Args:
        calls: answers the calls.
        guard: refuses what pages of other sites send.
        max_token_bytes: the operator's limit, for the description.
    """

    @cache
    def described(*, keys_required: bool) -> tuple[str, str]:
        found = document(max_token_bytes, keys_required=keys_required)
        return json.dumps(found, ensure_ascii=False), docs.page(found)

    async def get_openapi(_: Request) -> Response:
        return json_response(described(keys_required=calls.door.required)[0])

    async def get_docs(_: Request) -> Response:
        headers = {
            "content-security-policy": docs.POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        return HTMLResponse(described(keys_required=calls.door.required)[1], headers=headers)

    return [
        Route("/v1/openapi.json", get_openapi, methods=["GET"]),
        Route("/v1/docs", get_docs, methods=["GET"]),
        _Below(_PREFIX, Endpoint(calls, guard)),
    ]
