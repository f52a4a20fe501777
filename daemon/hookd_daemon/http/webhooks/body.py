"""Reading the body of a request, up to a limit."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import Receive

from hookd_daemon.http.call import DisconnectedError
from hookd_daemon.http.webhooks.answers import RefusedError
from hookd_daemon.http.webhooks.request import IncomingRequest

#: The largest body of a request to a webhook.
MAX_BODY_BYTES = 1024 * 1024


async def read_body(request: IncomingRequest, receive: Receive) -> bytes:
    """Reads the body of a request; how long that may take is the server's limit.

    Raises:
        RefusedError: it is too large.
        DisconnectedError: the sender has gone.
    """
    for name, value in request.headers:
        if name == "content-length" and int(value) > MAX_BODY_BYTES:
            raise _too_large()
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise DisconnectedError
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large() -> RefusedError:
    why = f"the body must be at most {MAX_BODY_BYTES} bytes"
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
