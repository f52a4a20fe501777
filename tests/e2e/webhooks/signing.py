"""Signs requests as services do; written apart from the daemon, from what they publish."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hookd.v1 import webhook_pb2 as pb

SECRET = "a secret of a test"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"24 bytes of a secret one").decode()


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def sha256(secret: str, data: bytes) -> hmac.HMAC:
    """The HMAC of some data."""
    return hmac.new(secret.encode(), data, hashlib.sha256)


def github(body: bytes, secret: str = SECRET, at: int = 0) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={sha256(secret, body).hexdigest()}"}


def stripe(body: bytes, secret: str = SECRET, at: int = 0) -> dict[str, str]:
    signature = sha256(secret, f"{at or now()}.".encode() + body).hexdigest()
    return {"Stripe-Signature": f"t={at or now()},v0=x,v1={'0' * 64},v1={signature}"}


def slack(body: bytes, secret: str = SECRET, at: int = 0) -> dict[str, str]:
    signature = sha256(secret, f"v0:{at or now()}:".encode() + body).hexdigest()
    return {
        "X-Slack-Request-Timestamp": str(at or now()),
        "X-Slack-Signature": f"v0={signature}",
    }


def standard(
    body: bytes, secret: str = STANDARD_SECRET, at: int = 0, known_by: str = "msg_1"
) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{known_by}.{at or now()}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": known_by,
        "webhook-timestamp": str(at or now()),
        "webhook-signature": f"v1,{signature}",
    }


def plain_hex(body: bytes, secret: str = SECRET, at: int = 0) -> dict[str, str]:
    return {"X-Signature": sha256(secret, body).hexdigest()}


def own_base64(body: bytes, secret: str = SECRET, at: int = 0) -> dict[str, str]:
    return {"X-Shop-Hmac": "hmac " + base64.b64encode(sha256(secret, body).digest()).decode()}


def bearer(body: bytes, secret: str = SECRET, at: int = 0) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@dataclass(frozen=True)
class Scheme:
    """How a test signs, and what it tells the daemon about it."""

    sign: Callable[..., dict[str, str]]
    how: Mapping[str, Any]
    secret: str = SECRET
    timed: bool = False
    signs_body: bool = True

    def webhook(self, name: str = "its-secret", **more: Any) -> pb.Webhook:
        """A webhook whose requests must be signed so."""
        verification = pb.WebhookVerification(secret=name, **self.how)
        return pb.Webhook(verification=verification, **more)


SCHEMES = {
    "github": Scheme(github, {"scheme": pb.WEBHOOK_SCHEME_GITHUB}),
    "stripe": Scheme(stripe, {"scheme": pb.WEBHOOK_SCHEME_STRIPE}, timed=True),
    "slack": Scheme(slack, {"scheme": pb.WEBHOOK_SCHEME_SLACK}, timed=True),
    "standard": Scheme(
        standard,
        {"scheme": pb.WEBHOOK_SCHEME_STANDARD_WEBHOOKS},
        secret=STANDARD_SECRET,
        timed=True,
    ),
    "hmac": Scheme(plain_hex, {"scheme": pb.WEBHOOK_SCHEME_HMAC_SHA256}),
    "hmac-base64": Scheme(
        own_base64,
        {
            "scheme": pb.WEBHOOK_SCHEME_HMAC_SHA256,
            "header": "X-Shop-HMAC",
            "prefix": "hmac ",
            "encoding": pb.SIGNATURE_ENCODING_BASE64,
        },
    ),
    "bearer": Scheme(bearer, {"scheme": pb.WEBHOOK_SCHEME_BEARER}, signs_body=False),
}
