"""What the client refuses before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookd.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 2**63
_URL_SCHEMES = ("http", "https", "grpc", "grpcs")
MAX_TOKEN_BYTES = 4096
"""The greatest limit that a daemon can be configured with; 512 is usual."""


def text(value: object, field: str) -> str:
    """Gives text that the wire can carry.

    Raises:
        InvalidArgumentError: It is no text, or has no UTF-8 form.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError.of(field, f"must be text, not {type(value).__qualname__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError.of(
            field, f"must be valid UTF-8: lone surrogate at position {error.start}"
        ) from None
    return value


def name(value: object, field: str) -> str:
    """Gives text that is not empty."""
    checked = text(value, field)
    if not checked:
        raise InvalidArgumentError.of(field, "must not be empty")
    return checked


def address(value: object) -> str:
    """Gives the address of a daemon, as gRPC takes it.

    Without a port gRPC would take 443, and of a URL it would look for a machine
    with that name.
    """
    checked = name(value, "address")
    scheme, separator, _ = checked.partition("://")
    if ":" not in checked or (separator and scheme.lower() in _URL_SCHEMES):
        raise InvalidArgumentError.of(
            "address", f"must be HOST:PORT, such as 127.0.0.1:4665, not {checked!r}"
        )
    return checked


def token(value: object, field: str = "token") -> str:
    """Gives a token that some daemon may take: text of 1 to 4096 bytes."""
    checked = name(value, field)
    size = len(checked.encode())
    if size > MAX_TOKEN_BYTES:
        raise InvalidArgumentError.of(
            field, f"must be at most {MAX_TOKEN_BYTES} bytes of UTF-8, has {size}"
        )
    return checked


def position(value: object, field: str) -> int:
    """Gives a position in a log: a whole number from 0."""
    number = whole(value, field)
    if number < 0:
        raise InvalidArgumentError.of(field, f"must be 0 or more, not {number}")
    return number


def whole(value: object, field: str) -> int:
    """Gives a whole number that the wire can carry."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError.of(
            field, f"must be a whole number, not {type(value).__qualname__}"
        )
    if not -_MOST <= value < _MOST:
        raise InvalidArgumentError.of(field, "must fit into 64 bits")
    return value


def attributes(value: Mapping[str, str] | None) -> dict[str, str]:
    """Gives names and values that are all text."""
    return {
        text(key, "attributes"): text(item, f"attributes[{key!r}]")
        for key, item in (value or {}).items()
    }
