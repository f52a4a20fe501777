"""The routes of webhooks."""

from __future__ import annotations

from hookd.webhook_url import PATH
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

_PATH = PATH.encode()


def webhook_routes(ingress: ASGIApp) -> list[BaseRoute]:
    """Makes the routes of webhooks.

    Args:
        ingress: takes the requests.
    """
    return [_WebhookRoute(ingress)]


class _WebhookRoute(BaseRoute):
    """All that begins like the URL of a webhook, told from the path as it was sent.

    A token may have any character, also those that end a path, or a line.
    """

    def __init__(self, ingress: ASGIApp) -> None:
        self._ingress = ingress

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        path: bytes = scope["raw_path"]
        ours = path == _PATH or path.startswith(_PATH + b"/")
        return (Match.FULL if ours else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._ingress(scope, receive, send)
