"""Makes the message of a call from an HTTP request: its path, its query and its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from google.protobuf.message import Message
from starlette.types import Receive

from hookd_daemon.api.transport import MAX_MESSAGE_BYTES
from hookd_daemon.errors import InvalidArgumentError
from hookd_daemon.http.call import DisconnectedError
from hookd_daemon.http.rest.errors import JSON_TYPE, HttpError
from hookd_daemon.http.rest.reading import read, read_text
from hookd_daemon.http.rest.routes import Route
from hookd_daemon.http.rest.text import BODY, joined, load

#: The largest body, as of a message in gRPC.
MAX_BODY_BYTES = MAX_MESSAGE_BYTES
#: So much of a body that is too large is read and thrown away: most clients
#: read no answer before they have sent all.
_PATIENCE_BYTES = 4 * MAX_BODY_BYTES

_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CHARSET = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)


def text_of(raw: str, path: str) -> str:
    """Undoes the percent signs of a part of a URL.

    Raises:
        InvalidArgumentError: it is no UTF-8 then.
    """
    data = raw.encode("latin-1")
    if _PERCENT.search(data):
        raise InvalidArgumentError(path, "has a % that two hexadecimal digits must follow")
    try:
        return unquote_to_bytes(data).decode()
    except UnicodeDecodeError:
        raise InvalidArgumentError(
            path, "must be UTF-8, with percent signs where a URL needs them"
        ) from None


def query_of(raw: bytes) -> dict[str, list[str]]:
    """The parameters of a query, all of each name.

    Raises:
        InvalidArgumentError: something is no UTF-8.
    """
    found: dict[str, list[str]] = {}
    for part in raw.decode("latin-1").split("&"):
        if part:
            name, _, value = part.replace("+", " ").partition("=")
            name = text_of(name, "query")
            found.setdefault(name, []).append(text_of(value, joined("", name)))
    return found


def fill_from_url(
    route: Route, request: Message, path: Mapping[str, str], query: Mapping[str, list[str]]
) -> None:
    """Fills a request from what stands in the URL.

    Args:
        route: the route.
        request: to be filled.
        path: the parameters of the path, as they were sent.
        query: the parameters of the query.

    Raises:
        InvalidArgumentError: something is wrong; names the parameter.
    """
    for name in query:
        if name not in route.query:
            known = ", ".join(route.query)
            raise InvalidArgumentError(joined("", name), f"is unknown in the query; known: {known}")
    for name, raw in path.items():
        if not raw:
            raise InvalidArgumentError(name, "is empty in the path")
        value = text_of(raw, name)
        read_text(route.holder_of(name, request), route.field_of(name), [value], name)
    for name, values in query.items():
        read_text(request, route.field_of(name), values, name)


def fill_from_body(route: Route, request: Message, body: bytes) -> None:
    """Fills a request from the body; an empty body is an object without fields.

    Raises:
        InvalidArgumentError: something is wrong; names the field.
    """
    value = load(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise InvalidArgumentError(BODY, "must be an object")
    for name in route.needs:
        if name not in value:
            raise InvalidArgumentError(name, "is missing")
    if not route.body:
        if route.rest or not value:
            read(value, request, allowed=route.rest)
        else:
            raise InvalidArgumentError(
                joined("", next(iter(value))), "is unknown; nothing is expected here"
            )
        return
    inner = getattr(request, route.body)
    inner.SetInParent()
    read(value, inner)


def check_content_type(header: str | None) -> None:
    """Sees to it that a body is JSON, and that no form of a web page has sent it.

    Raises:
        HttpError: it is something else.
    """
    if header is None or not _CHARSET.fullmatch(header.strip()):
        shown = "missing" if header is None else "another"
        raise HttpError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            f"content-type must be {JSON_TYPE}, also without a body; it is {shown}",
        )


async def read_body(receive: Receive, declared: str | None, *, waits_for_word: bool) -> bytes:
    """Reads the body of a request.

    Args:
        receive: of the request.
        declared: its Content-Length, if it has one.
        waits_for_word: the client sends the body only once it is asked to.

    Raises:
        HttpError: it is too large.
        DisconnectedError: the client has gone.
    """
    size = int(declared) if declared and declared.isdecimal() else 0
    if size > MAX_BODY_BYTES and (waits_for_word or size > _PATIENCE_BYTES):
        raise _too_large(size)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more and size <= _PATIENCE_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
        more = message.get("more_body", False)
    if size > MAX_BODY_BYTES:
        raise _too_large(size)
    return b"".join(chunks)


def _too_large(size: int) -> HttpError:
    return HttpError(
        413,
        "LIMIT_EXCEEDED",
        f"the body must be at most {MAX_BODY_BYTES} bytes; it has {size} or more",
        {"connection": "close"},
        limit="body_bytes",
        allowed=str(MAX_BODY_BYTES),
    )
