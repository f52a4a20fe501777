"""How a webhook knows that a request comes from who it should.

The ``verify=`` of ``create_webhook``. Each function takes the *name* of a
secret; the secret itself is kept by the daemon (``hookd secrets set NAME``) and
is never sent. A request that does not pass is answered 401, and nothing of it
is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hookd import validate
from hookd.errors import InvalidArgumentError
from hookd.v1 import webhook_pb2 as pb

__all__ = [
    "Verification",
    "bearer",
    "github",
    "hmac_sha256",
    "slack",
    "standard_webhooks",
    "stripe",
]

_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# RFC 9110, 5.6.2: a token.
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_PREFIX = re.compile(r"[ -~]{0,64}")
_ENCODINGS = {
    "hex": pb.SIGNATURE_ENCODING_HEX,
    "base64": pb.SIGNATURE_ENCODING_BASE64,
}


@dataclass(frozen=True, slots=True)
class Verification:
    """How requests are signed, and the name of the secret. Made by the functions here."""

    scheme: str
    """The name of the function that makes it."""
    secret: str
    """The name of the secret in the daemon."""
    header: str = ""
    """The header that has the signature, where the scheme leaves that open."""
    prefix: str = ""
    """What stands before the signature in that header."""
    encoding: Literal["", "hex", "base64"] = ""
    """How the signature is written."""

    def _wire(self) -> pb.WebhookVerification:
        return pb.WebhookVerification(
            scheme=pb.WebhookScheme.Value(f"WEBHOOK_SCHEME_{self.scheme.upper()}"),
            secret=self.secret,
            header=self.header,
            prefix=self.prefix,
            encoding=_ENCODINGS.get(self.encoding, pb.SIGNATURE_ENCODING_UNSPECIFIED),
        )


def github(secret: str) -> Verification:
    """Takes what GitHub signs: ``X-Hub-Signature-256``, by ``X-GitHub-Delivery``.

    Args:
        secret: The name of the secret in the daemon.

    Raises:
        InvalidArgumentError: It is no name of a secret.
    """
    return Verification("github", _secret(secret))


def stripe(secret: str) -> Verification:
    """Takes what Stripe signs: ``Stripe-Signature``, at most 5 minutes old, by the event's id.

    Args:
        secret: The name of the secret in the daemon.

    Raises:
        InvalidArgumentError: It is no name of a secret.
    """
    return Verification("stripe", _secret(secret))


def slack(secret: str) -> Verification:
    """Takes what Slack signs: ``X-Slack-Signature``, at most 5 minutes old, by ``event_id``.

    Args:
        secret: The name of the secret in the daemon.

    Raises:
        InvalidArgumentError: It is no name of a secret.
    """
    return Verification("slack", _secret(secret))


def standard_webhooks(secret: str) -> Verification:
    """Takes what is signed as standardwebhooks.com says, at most 5 minutes old, by ``webhook-id``.

    Args:
        secret: The name of the secret in the daemon.

    Raises:
        InvalidArgumentError: It is no name of a secret.
    """
    return Verification("standard_webhooks", _secret(secret))


def hmac_sha256(
    secret: str,
    *,
    header: str = "X-Signature",
    prefix: str = "",
    encoding: Literal["hex", "base64"] = "hex",
) -> Verification:
    """Takes what has the HMAC-SHA256 of the body in a header.

    Args:
        secret: The name of the secret in the daemon.
        header: The header.
        prefix: What stands before the signature in it: "sha256=".
        encoding: How the signature is written: "hex" or "base64".

    Raises:
        InvalidArgumentError: An argument is wrong.
    """
    if not _HEADER.fullmatch(validate.text(header, "header")):
        raise InvalidArgumentError.of("header", f"must be the name of a header, not {header!r}")
    if not _PREFIX.fullmatch(validate.text(prefix, "prefix")):
        raise InvalidArgumentError.of("prefix", "must be at most 64 visible ASCII characters")
    if encoding not in _ENCODINGS:
        raise InvalidArgumentError.of("encoding", f'must be "hex" or "base64", not {encoding!r}')
    return Verification("hmac_sha256", _secret(secret), header, prefix, encoding)


def bearer(secret: str) -> Verification:
    """Takes what has ``Authorization: Bearer`` and the secret itself.

    Args:
        secret: The name of the secret in the daemon.

    Raises:
        InvalidArgumentError: It is no name of a secret.
    """
    return Verification("bearer", _secret(secret))


def _secret(value: str) -> str:
    # Not the value itself: somebody may take the secret for its name.
    if not _SECRET.fullmatch(validate.text(value, "secret")):
        raise InvalidArgumentError.of(
            "secret",
            "must be the name of a secret in the daemon, not the secret: 1 to 64 letters, digits, "
            "'.', '_' or '-', the first a letter or a digit",
        )
    return value
