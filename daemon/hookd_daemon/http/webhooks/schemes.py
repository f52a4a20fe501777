"""How requests are signed, and how their retries are known.

Each scheme is written from what those who use it publish: docs.github.com
(validating webhook deliveries), docs.stripe.com (webhook signatures),
docs.slack.dev (verifying requests) and standardwebhooks.com. All comparisons
take the same time wherever two texts differ, and all secrets are tried.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence

from hookd.v1.webhook_pb2 import (
    SIGNATURE_ENCODING_BASE64,
    WEBHOOK_SCHEME_BEARER,
    WEBHOOK_SCHEME_GITHUB,
    WEBHOOK_SCHEME_HMAC_SHA256,
    WEBHOOK_SCHEME_SLACK,
    WEBHOOK_SCHEME_STANDARD_WEBHOOKS,
    WEBHOOK_SCHEME_STRIPE,
    WebhookScheme,
    WebhookVerification,
)

from hookd_daemon.http.webhooks.request import AmbiguousHeaderError, IncomingRequest

#: A signed time may be so many seconds before or after the daemon's.
WINDOW_S = 300
USUAL_HEADER = "X-Signature"

#: Where the body has what a delivery is called.
ID_IN_BODY = {WEBHOOK_SCHEME_STRIPE: "id", WEBHOOK_SCHEME_SLACK: "event_id"}
#: By which header one sees that the body has it.
SIGNATURES_WITH_ID_IN_BODY = {
    WEBHOOK_SCHEME_STRIPE: "stripe-signature",
    WEBHOOK_SCHEME_SLACK: "x-slack-signature",
}

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")
#: A request may have so many signatures, as one that is signed with an old and a new secret.
_MAX_SIGNATURES = 16


class NotVerifiedError(Exception):
    """A request is not signed as it must be; the message says why, for the log."""


def verify(
    verification: WebhookVerification,
    secrets: Sequence[bytes],
    request: IncomingRequest,
    now_s: float,
) -> None:
    """Sees whether a request is signed.

    Args:
        verification: how it must be.
        secrets: of which each counts.
        request: the request, with its body.
        now_s: the time, in seconds since 1970.

    Raises:
        NotVerifiedError: it is not.
    """
    try:
        _VERIFY[verification.scheme](verification, secrets, request, now_s)
    except AmbiguousHeaderError as error:
        raise NotVerifiedError(f"there are several headers {error}") from None


def delivery_id(scheme: WebhookScheme.ValueType, request: IncomingRequest) -> str | None:
    """What the sender's scheme calls this delivery; None when it has no word for it.

    Raises:
        AmbiguousHeaderError: it has several.
    """
    if scheme == WEBHOOK_SCHEME_GITHUB:
        return request.header("x-github-delivery") or None
    if scheme == WEBHOOK_SCHEME_STANDARD_WEBHOOKS:
        return request.header("webhook-id") or None
    name = ID_IN_BODY.get(scheme)
    return None if name is None else _text_in(request.body, name)


def _text_in(body: bytes, name: str) -> str | None:
    """A text of a JSON object; None when it is not there."""
    try:
        value = json.loads(body)
        found = value.get(name) if isinstance(value, dict) else None
        if not isinstance(found, str):
            return None
        found.encode()
    except (ValueError, RecursionError):
        return None
    return found or None


def _needed(request: IncomingRequest, name: str) -> str:
    value = request.header(name)
    if value is None:
        raise NotVerifiedError(f"there is no header {name}")
    return value


def _mac(secret: bytes, *parts: bytes) -> bytes:
    made = hmac.new(secret, digestmod=hashlib.sha256)
    for part in parts:
        made.update(part)
    return made.digest()


def _check(signatures: Sequence[bytes], secrets: Sequence[bytes], *parts: bytes) -> None:
    """Looks for a signature that one of the secrets makes."""
    if len(signatures) > _MAX_SIGNATURES:
        raise NotVerifiedError("there are too many signatures")
    expected = [_mac(secret, *parts) for secret in secrets]
    right = 0
    for signature in signatures:
        for mac in expected:
            right |= hmac.compare_digest(signature, mac)
    if not right:
        raise NotVerifiedError("no signature is right")


def _check_time(text: str, now_s: float) -> bytes:
    if not _SECONDS.fullmatch(text):
        raise NotVerifiedError("the time is no number of seconds")
    if abs(now_s - int(text)) > WINDOW_S:
        raise NotVerifiedError(f"the time is more than {WINDOW_S} s away")
    return text.encode()


def _from_hex(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise NotVerifiedError("the signature is no SHA-256 in hex")
    return bytes.fromhex(text)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise NotVerifiedError("the signature is no base64") from None


def _without(prefix: str, text: str) -> str:
    if not text.startswith(prefix):
        raise NotVerifiedError(f"the signature does not begin with {prefix}")
    return text[len(prefix) :]


def _github(
    _: WebhookVerification, secrets: Sequence[bytes], request: IncomingRequest, now_s: float
) -> None:
    signature = _from_hex(_without("sha256=", _needed(request, "x-hub-signature-256")))
    _check([signature], secrets, request.body)


def _stripe(
    _: WebhookVerification, secrets: Sequence[bytes], request: IncomingRequest, now_s: float
) -> None:
    pairs = [part.strip().split("=", 1) for part in _needed(request, "stripe-signature").split(",")]
    times = [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "t"]
    signatures = [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "v1"]
    if len(times) != 1:
        raise NotVerifiedError("there is not one time")
    stamp = _check_time(times[0], now_s)
    found = [bytes.fromhex(text) for text in signatures if _HEX.fullmatch(text)]
    _check(found, secrets, stamp, b".", request.body)


def _slack(
    _: WebhookVerification, secrets: Sequence[bytes], request: IncomingRequest, now_s: float
) -> None:
    stamp = _check_time(_needed(request, "x-slack-request-timestamp"), now_s)
    signature = _from_hex(_without("v0=", _needed(request, "x-slack-signature")))
    _check([signature], secrets, b"v0:", stamp, b":", request.body)


def _standard(
    _: WebhookVerification, secrets: Sequence[bytes], request: IncomingRequest, now_s: float
) -> None:
    known_by = _needed(request, "webhook-id").encode("latin-1")
    stamp = _check_time(_needed(request, "webhook-timestamp"), now_s)
    signatures = []
    for part in _needed(request, "webhook-signature").split(" "):
        version, _comma, text = part.partition(",")
        if version == "v1":
            signatures.append(_from_base64(text))
    keys = [key for key in map(_standard_key, secrets) if key]
    if not keys:
        raise NotVerifiedError("the secret is no base64")
    _check(signatures, keys, known_by, b".", stamp, b".", request.body)


def _standard_key(secret: bytes) -> bytes:
    """The bytes of a secret that is written as ``whsec_`` and base64; empty if it is not."""
    text = secret.removeprefix(b"whsec_")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""


def _hmac(
    how: WebhookVerification, secrets: Sequence[bytes], request: IncomingRequest, now_s: float
) -> None:
    text = _without(how.prefix, _needed(request, (how.header or USUAL_HEADER).lower()))
    base64_encoded = how.encoding == SIGNATURE_ENCODING_BASE64
    signature = _from_base64(text) if base64_encoded else _from_hex(text)
    _check([signature], secrets, request.body)


def _bearer(
    _: WebhookVerification, secrets: Sequence[bytes], request: IncomingRequest, now_s: float
) -> None:
    kind, _blank, given = _needed(request, "authorization").partition(" ")
    if kind.lower() != "bearer":
        raise NotVerifiedError("there is no bearer token")
    # Of their digests: the time must not tell how long the secret is either.
    sent = hashlib.sha256(given.strip(" ").encode("latin-1")).digest()
    right = 0
    for secret in secrets:
        right |= hmac.compare_digest(sent, hashlib.sha256(secret).digest())
    if not right:
        raise NotVerifiedError("the bearer token is not right")


_VERIFY: dict[
    WebhookScheme.ValueType,
    Callable[[WebhookVerification, Sequence[bytes], IncomingRequest, float], None],
] = {
    WEBHOOK_SCHEME_GITHUB: _github,
    WEBHOOK_SCHEME_STRIPE: _stripe,
    WEBHOOK_SCHEME_SLACK: _slack,
    WEBHOOK_SCHEME_STANDARD_WEBHOOKS: _standard,
    WEBHOOK_SCHEME_HMAC_SHA256: _hmac,
    WEBHOOK_SCHEME_BEARER: _bearer,
}
