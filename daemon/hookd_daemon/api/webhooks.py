"""Webhooks, and what their senders are answered, as callers describe them: checked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hookd.v1.webhook_pb2 import (
    WEBHOOK_SCHEME_HMAC_SHA256,
    WEBHOOK_SCHEME_UNSPECIFIED,
    HttpHeader,
    HttpResponse,
    SignatureEncoding,
    Webhook,
    WebhookScheme,
    WebhookVerification,
)
from hookd.webhook_rules import (
    FRAMING,
    HEADER_NAME,
    HEADER_VALUE,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_STATIC_BODY_BYTES,
    MAX_WITHIN_MS,
    MIN_WITHIN_MS,
    OF_THE_ORIGIN,
    USUAL_WITHIN_MS,
    WITHOUT_BODY,
)
from hookd.webhook_url import has_url

from hookd_daemon.api import validate
from hookd_daemon.errors import InvalidArgumentError

MAX_PREFIX_BYTES = 64
MAX_NAME_BYTES = 128

_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VISIBLE = re.compile(r"[ -~]*")


def webhook(message: Webhook, token: str) -> Webhook:
    """What makes a hook reachable by a URL.

    Args:
        message: what the caller says.
        token: the token of the hook.

    Raises:
        InvalidArgumentError: something is wrong; names the field of the hook.
    """
    if not has_url(token):
        raise InvalidArgumentError("token", f'must not be "{token}", which no URL can have')
    match message.WhichOneof("answer"):
        case "response":
            response("webhook.response", message.response, MAX_STATIC_BODY_BYTES)
        case "manual" if message.manual.HasField("within"):
            validate.duration_ms(
                "webhook.manual.within", message.manual.within, MIN_WITHIN_MS, MAX_WITHIN_MS
            )
    if message.HasField("verification"):
        _verification("webhook.verification", message.verification)
    return message


def within_ms(message: Webhook) -> int:
    """How long the sender waits for an answer of the run, in milliseconds."""
    manual = message.manual
    return manual.within.ToMilliseconds() if manual.HasField("within") else USUAL_WITHIN_MS


def response(field: str, message: HttpResponse, max_body_bytes: int) -> HttpResponse:
    """What the sender of a request is answered.

    Raises:
        InvalidArgumentError: something is wrong; names the field.
    """
    status = message.status or 200
    if not 200 <= status <= 599:
        raise InvalidArgumentError(
            f"{field}.status", f"must be 200 to 599, or 0 for 200; it is {status}"
        )
    _headers(f"{field}.headers", message.headers)
    size = len(message.body)
    if size > max_body_bytes:
        raise InvalidArgumentError(
            f"{field}.body", f"must be at most {max_body_bytes} bytes; it is {size}"
        )
    if size and status in WITHOUT_BODY:
        raise InvalidArgumentError(
            f"{field}.body", f"must be empty with status {status}; it is {size} bytes"
        )
    return message


def _headers(field: str, headers: Sequence[HttpHeader]) -> None:
    validate.count(field, len(headers), MAX_HEADERS)
    size = 0
    for i, header in enumerate(headers):
        if not HEADER_NAME.fullmatch(header.name):
            raise InvalidArgumentError(
                f"{field}[{i}].name", "must be 1 or more of the characters of a header's name"
            )
        if not HEADER_VALUE.fullmatch(header.value):
            raise InvalidArgumentError(
                f"{field}[{i}].value",
                "must be printable characters of Latin-1, without blanks around them",
            )
        name = header.name.lower()
        if name in FRAMING:
            raise InvalidArgumentError(f"{field}[{i}].name", f"{name} is for the server to say")
        if name in OF_THE_ORIGIN:
            raise InvalidArgumentError(
                f"{field}[{i}].name", f"{name} would hold for everything at this address"
            )
        size += len(name) + len(header.value)
    if size > MAX_HEADERS_BYTES:
        raise InvalidArgumentError(
            field, f"must be at most {MAX_HEADERS_BYTES} bytes together; they are {size}"
        )


def _verification(field: str, message: WebhookVerification) -> None:
    if message.scheme not in WebhookScheme.values() or message.scheme == WEBHOOK_SCHEME_UNSPECIFIED:
        raise InvalidArgumentError(f"{field}.scheme", f"{message.scheme} is none that there is")
    if not _SECRET.fullmatch(message.secret):
        raise InvalidArgumentError(
            f"{field}.secret",
            "must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or a "
            f"digit; it is {len(message.secret)} characters long",
        )
    if message.scheme != WEBHOOK_SCHEME_HMAC_SHA256:
        for name in ("header", "prefix", "encoding"):
            if getattr(message, name):
                raise InvalidArgumentError(f"{field}.{name}", "goes only with HMAC_SHA256")
        return
    if message.encoding not in SignatureEncoding.values():
        raise InvalidArgumentError(f"{field}.encoding", f"{message.encoding} is none that there is")
    validate.text(f"{field}.header", message.header, MAX_NAME_BYTES)
    if message.header and not HEADER_NAME.fullmatch(message.header):
        raise InvalidArgumentError(f"{field}.header", "must be the name of a header")
    validate.text(f"{field}.prefix", message.prefix, MAX_PREFIX_BYTES)
    if not _VISIBLE.fullmatch(message.prefix):
        raise InvalidArgumentError(f"{field}.prefix", "must be visible ASCII characters")
