"""Page tokens: where a page ended, tied to the filters of its list."""

from __future__ import annotations

import base64
import binascii
import hashlib

from hookd_daemon.errors import InvalidArgumentError

_DIGEST = 8


def _digest(filters: bytes) -> bytes:
    return hashlib.blake2b(filters, digest_size=_DIGEST).digest()


def page_token(filters: bytes, position: bytes) -> str:
    """A page token for what comes after ``position``; empty if that is empty."""
    if not position:
        return ""
    return base64.urlsafe_b64encode(_digest(filters) + position).decode()


def position_of(filters: bytes, token: str) -> bytes:
    """The position in a page token; empty for the first page.

    Raises:
        InvalidArgumentError: it is no page token, or one of another list.
    """
    if not token:
        return b""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) <= _DIGEST:
        raise InvalidArgumentError("page_token", "is not a page token of hookd")
    if raw[:_DIGEST] != _digest(filters):
        raise InvalidArgumentError(
            "page_token", "belongs to a list with other filters; begin without one"
        )
    return raw[_DIGEST:]


def text_position_of(filters: bytes, token: str) -> str:
    """The same, of a list whose positions are text.

    Raises:
        InvalidArgumentError: it is no page token, or one of another list.
    """
    try:
        return position_of(filters, token).decode()
    except UnicodeDecodeError:
        raise InvalidArgumentError("page_token", "is not a page token of hookd") from None
