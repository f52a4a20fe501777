"""The payload that a request becomes, and what its retry is known by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from google.protobuf.json_format import MessageToJson
from hookd.v1.common_pb2 import Payload
from hookd.v1.webhook_pb2 import (
    WEBHOOK_SCHEME_BEARER,
    HttpHeader,
    Webhook,
    WebhookRequest,
    WebhookScheme,
)

from hookd_daemon.api import validate
from hookd_daemon.api.backend import random_text
from hookd_daemon.http.webhooks.answers import RefusedError
from hookd_daemon.http.webhooks.request import (
    PRIVATE_HEADERS,
    AmbiguousHeaderError,
    IncomingRequest,
)
from hookd_daemon.http.webhooks.schemes import SIGNATURES_WITH_ID_IN_BODY, delivery_id

MEDIA_TYPE = "application/vnd.hookd.webhook-request+json"
KEY_HEADER = "idempotency-key"
#: Tells these digests from those of payloads.
_PERSON = b"hookd-webhook"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a retry of a request is known by.

    Attributes:
        payload_id: its id.
        told_by: what must be the same, too; a digest.
    """

    payload_id: str
    told_by: bytes


def identify(webhook: Webhook, request: IncomingRequest) -> Identity:
    """What a retry of a request to a webhook is known by; random when its sender does not say.

    Raises:
        RefusedError: what its sender says cannot be an id.
    """
    try:
        scheme = webhook.verification.scheme
        known = delivery_id(scheme, request)
        if known is not None:
            return _of_scheme(scheme, _checked("the delivery id", known))
        key = request.header(KEY_HEADER)
    except AmbiguousHeaderError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"there are several headers {error}") from None
    if key is None:
        return Identity(random_text(), _digest(b"random"))
    return _of_key(_checked("Idempotency-Key", key), request)


def possible_ids(request: IncomingRequest) -> Iterator[str]:
    """What a retry of a request may be known by, whatever webhook it is for."""
    names = {name for name, _ in request.headers}
    for scheme in WebhookScheme.values():
        signature = SIGNATURES_WITH_ID_IN_BODY.get(scheme)
        if signature is not None and signature not in names:
            continue  # nobody may have bodies parsed for nothing
        try:
            known = delivery_id(scheme, request)
        except AmbiguousHeaderError:
            continue
        if known is not None:
            yield known
    for name, value in request.headers:
        if name == KEY_HEADER:
            yield value


def make_payload(webhook: Webhook, request: IncomingRequest) -> Payload:
    """The payload that a request becomes."""
    left_out = set(PRIVATE_HEADERS)
    if webhook.verification.scheme == WEBHOOK_SCHEME_BEARER:
        left_out.add("authorization")
    message = WebhookRequest(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=[
            HttpHeader(name=name, value=value)
            for name, value in request.headers
            if name not in left_out
        ],
        body=request.body,
        remote_address=request.remote_address,
    )
    text = MessageToJson(message, preserving_proto_field_name=True, indent=None)
    return Payload(content_type=MEDIA_TYPE, data=text.encode())


def _checked(what: str, value: str) -> str:
    size = len(value.encode())
    if not 1 <= size <= validate.MAX_PAYLOAD_ID_BYTES:
        limit = validate.MAX_PAYLOAD_ID_BYTES
        why = f"{what} must be 1 to {limit} bytes; it is {size}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, why)
    return value


def _of_scheme(scheme: WebhookScheme.ValueType, known: str) -> Identity:
    # Who signs a retry anew sends other headers: the id alone decides.
    return Identity(known, _digest(b"scheme", bytes([scheme])))


def _of_key(key: str, request: IncomingRequest) -> Identity:
    parts = (request.method, request.path, request.query)
    return Identity(key, _digest(b"key", *(part.encode() for part in parts), request.body))


def _digest(*parts: bytes) -> bytes:
    made = hashlib.blake2b(digest_size=16, person=_PERSON)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()
