"""How operators write addresses and durations."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_HOST = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*"
)
_MAX_SHOWN = 60
_BASE_URL = re.compile(r"https?://[^\s/?#\\]+(?:/[!$&-;=@-Z_a-z~%]*)?")


class Address(NamedTuple):
    """A host and a port; as text, an IPv6 host stands in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(value: object) -> Address:
    """Reads ``HOST:PORT``, with an IPv6 host in brackets.

    Args:
        value: The text.

    Returns:
        The address, the host without brackets.

    Raises:
        ValueError: It is not an address; the message says what one looks like.
    """
    text = str(value).strip()
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("must be HOST:PORT with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError("must have an IPv6 address between the brackets") from None
        return Address(host[1:-1], int(port))
    if ":" in host:
        raise ValueError("must have its IPv6 address in brackets, as [::1]:4665")
    if not host:
        raise ValueError("must name a host (0.0.0.0 for all interfaces)")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError("must have a valid IPv4 address before the port") from None
    elif not _HOST.fullmatch(host):
        raise ValueError("must be HOST:PORT with a host name or an IP address")
    return Address(host, int(port))


def parse_duration_ms(value: object) -> int:
    """Reads a duration: ``7d``, ``1h30m``, ``500ms``, or a plain number of seconds.

    Args:
        value: Text or a number.

    Returns:
        Whole milliseconds, rounded.

    Raises:
        ValueError: It is not a duration; the message says what one looks like.
    """
    text = "" if isinstance(value, bool) else str(value).strip().lower()
    if _PLAIN.fullmatch(text):
        return round(float(text) * 1000)
    if _DURATION.fullmatch(text):
        return round(sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(text)))
    raise ValueError("must be a duration such as 7d, 1h30m, 500ms or a number of seconds")


def parse_base_url(value: object) -> str:
    """Reads what URLs begin with: ``https://hooks.example.com``, or with a path after it.

    Args:
        value: The text.

    Returns:
        The URL without a slash at its end.

    Raises:
        ValueError: It is no such URL; the message says what one looks like.
    """
    text = str(value).strip()
    if not _BASE_URL.fullmatch(text):
        raise ValueError(
            "must be http:// or https://, a host, and maybe a port and a path, but no query"
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        if "[" in parts.netloc:
            ipaddress.IPv6Address(host or "")
    except ValueError:
        raise ValueError("must have a valid host and port") from None
    if not host or "@" in parts.netloc:
        raise ValueError("must name a host, and no user")
    return text.rstrip("/")


def parse_networks(value: object) -> tuple[str, ...]:
    """Reads addresses and networks: ``10.0.0.0/8, ::1``, or a list of them.

    Args:
        value: Text or a list of texts.

    Returns:
        The networks as texts, each once.

    Raises:
        ValueError: One is neither; the message says what one looks like.
    """
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    texts = [str(part).strip() for part in parts]
    try:
        return tuple(dict.fromkeys(str(ipaddress.ip_network(text)) for text in texts if text))
    except ValueError:
        raise ValueError(
            "must be IP addresses or networks, as 10.0.0.0/8, with commas between them"
        ) from None


def shorten(value: object) -> str:
    """Returns a value as it may stand in a one-line message: quoted, and not too long."""
    text = repr(str(value) if isinstance(value, str | int | float) else value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
