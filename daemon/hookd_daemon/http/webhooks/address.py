"""Which hook a request is for, and who sent it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from hookd.webhook_url import PATH

from hookd_daemon.api import validate
from hookd_daemon.errors import InvalidArgumentError

_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PREFIX = PATH.encode() + b"/"


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """What the path of a request says.

    Attributes:
        project: whose token.
        token: the token.
        rest: what follows it, with its percent signs, from the ``/`` on.
    """

    project: str
    token: str
    rest: str


def read_address(raw_path: bytes, max_token_bytes: int) -> WebhookAddress | None:
    """Reads the path of a request, as it was sent; None when no hook can have it."""
    if not raw_path.startswith(_PREFIX):
        return None
    project, slash, after = raw_path[len(_PREFIX) :].partition(b"/")
    token, rest_slash, rest = after.partition(b"/")
    if not slash or _BROKEN.search(raw_path):
        return None
    try:
        found = WebhookAddress(
            validate.project(unquote_to_bytes(project).decode()),
            unquote_to_bytes(token).decode(),
            (rest_slash + rest).decode("ascii"),
        )
        validate.token("token", found.token, max_token_bytes)
    except (UnicodeDecodeError, InvalidArgumentError):
        return None
    return found if project else None


class Proxies:
    """The proxies whose word about the sender is believed.

    Args:
        networks: where they are.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def sender(self, peer: str, forwarded: Sequence[str]) -> str:
        """Who sent a request: the nearest address that is no proxy that is believed.

        Args:
            peer: the other end of the connection.
            forwarded: the values of X-Forwarded-For, in their order. Each
                proxy adds, at the end, who has sent it the request.
        """
        sender = peer
        hops = [hop.strip() for value in forwarded for hop in value.split(",")]
        while hops and self._believes(sender):
            address = _address(hops.pop())
            if address is None:
                break
            sender = str(address)
        return sender

    def _believes(self, sender: str) -> bool:
        address = _address(sender)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
