"""What the sender of a request to a webhook is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hookd import validate, webhook_rules
from hookd.durations import Seconds, duration, seconds
from hookd.errors import InvalidArgumentError
from hookd.payload import BYTES, JSON, encode
from hookd.v1 import webhook_pb2 as pb
from hookd.verify import Verification

HeadersToSend = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers as users write them: a mapping, or pairs when one comes twice."""


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """What every sender of a request is answered, the same each time."""

    status: int = 200
    """From 200 to 599."""
    headers: HeadersToSend = field(default=(), repr=False)
    """At most 32, of together 8 KiB."""
    body: Any = field(default=b"", repr=False)
    """At most 64 KiB: bytes, text, or any JSON value; the latter two set ``content-type``."""


@dataclass(frozen=True, slots=True)
class Manual:
    """The run itself answers each request, with ``request.respond(…)``."""

    within: Seconds = webhook_rules.USUAL_WITHIN_MS // 1000
    """How long the sender waits for it, from 0.1 s to 5 minutes. Then it is answered 504."""


RespondWith = WebhookResponse | Manual | Literal["manual"] | None
"""What ``respond_with`` can be; None for 202 and nothing else."""


def wire_webhook(respond_with: RespondWith, verify: Verification | None) -> pb.Webhook:
    """Gives what makes a hook reachable by a URL.

    Raises:
        InvalidArgumentError: It is nothing that the daemon would take.
    """
    webhook = pb.Webhook()
    if respond_with == "manual":
        respond_with = Manual()
    match respond_with:
        case None:
            pass
        case WebhookResponse():
            response = wire_response(
                respond_with.status,
                respond_with.headers,
                respond_with.body,
                most_body=webhook_rules.MAX_STATIC_BODY_BYTES,
                within="respond_with.",
            )
            webhook.response.CopyFrom(response)
        case Manual():
            webhook.manual.within.CopyFrom(duration(_within(respond_with), "respond_with.within"))
        case _:
            raise InvalidArgumentError.of(
                "respond_with",
                'must be a WebhookResponse, "manual", a Manual or None, not '
                + (repr(respond_with) if isinstance(respond_with, str) else _kind(respond_with)),
            )
    if verify is not None:
        if not isinstance(verify, Verification):
            raise InvalidArgumentError.of(
                "verify", f"must be made by hookd.verify, as verify.github(…), not {_kind(verify)}"
            )
        webhook.verification.CopyFrom(verify._wire())
    return webhook


def wire_response(
    status: int,
    headers: HeadersToSend | None,
    body: Any,
    *,
    most_body: int = webhook_rules.MAX_BODY_BYTES,
    within: str = "",
) -> pb.HttpResponse:
    """Gives an answer as the wire carries it.

    Args:
        status: From 200 to 599.
        headers: The headers; those that say how the message is framed are not taken.
        body: Bytes, text, or any JSON value; None for nothing.
        most_body: How many bytes it may have.
        within: Where they stand in the user's arguments, with a dot at its end.

    Raises:
        InvalidArgumentError: It is no answer that the daemon would give.
    """
    if not 200 <= validate.whole(status, f"{within}status") <= 599:
        raise InvalidArgumentError.of(f"{within}status", f"must be 200 to 599, not {status}")
    data, kind = _body(body, f"{within}body")
    if len(data) > most_body:
        raise InvalidArgumentError.of(
            f"{within}body", f"must be at most {most_body} bytes, has {len(data)}"
        )
    if data and status in webhook_rules.WITHOUT_BODY:
        raise InvalidArgumentError.of(f"{within}body", f"must be empty with status {status}")
    pairs = _headers(headers, f"{within}headers")
    if kind and "content-type" not in {name.lower() for name, _ in pairs}:
        pairs.append(("content-type", kind))
    _check_size(pairs, f"{within}headers")
    return pb.HttpResponse(
        status=status,
        headers=[pb.HttpHeader(name=name, value=value) for name, value in pairs],
        body=data,
    )


def _within(manual: Manual) -> float:
    within = seconds(manual.within, "respond_with.within")
    least, most = webhook_rules.MIN_WITHIN_MS / 1000, webhook_rules.MAX_WITHIN_MS / 1000
    if not least <= within <= most:
        raise InvalidArgumentError.of(
            "respond_with.within",
            f"must be {least:g} to {most:g} seconds, not {within:g}",
        )
    return within


def _body(body: Any, name: str) -> tuple[bytes, str]:
    """Gives the bytes of a body, and what they are when the type of it says so."""
    match body:
        case None:
            return b"", ""
        case str():
            return validate.text(body, name).encode(), "text/plain; charset=utf-8"
    payload = encode(body, name)
    if payload.content_type == BYTES:
        return payload.data, ""
    return payload.data, JSON if payload.content_type == JSON else payload.content_type


def _headers(headers: HeadersToSend | None, name: str) -> list[tuple[str, str]]:
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    pairs = []
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InvalidArgumentError.of(name, "must be a mapping, or pairs of name and value")
        key, value = validate.text(item[0], name), validate.text(item[1], f"{name}[{item[0]!r}]")
        if not webhook_rules.HEADER_NAME.fullmatch(key):
            raise InvalidArgumentError.of(name, f"{key!r} is no name of a header")
        if key.lower() in webhook_rules.FRAMING:
            raise InvalidArgumentError.of(
                name, f"{key} is for the daemon to set: it says how the message is framed"
            )
        if key.lower() in webhook_rules.OF_THE_ORIGIN:
            raise InvalidArgumentError.of(
                name, f"{key} would hold for everything at the daemon's address"
            )
        if not webhook_rules.HEADER_VALUE.fullmatch(value):
            raise InvalidArgumentError.of(
                f"{name}[{key!r}]",
                "must be Latin-1 text without control characters, and no space at its ends",
            )
        pairs.append((key, value))
    return pairs


def _check_size(pairs: list[tuple[str, str]], name: str) -> None:
    if len(pairs) > webhook_rules.MAX_HEADERS:
        raise InvalidArgumentError.of(
            name, f"must be at most {webhook_rules.MAX_HEADERS}, are {len(pairs)}"
        )
    size = sum(len(key) + len(value) for key, value in pairs)
    if size > webhook_rules.MAX_HEADERS_BYTES:
        raise InvalidArgumentError.of(
            name, f"must have at most {webhook_rules.MAX_HEADERS_BYTES} bytes together, have {size}"
        )


def _kind(value: object) -> str:
    return type(value).__qualname__
