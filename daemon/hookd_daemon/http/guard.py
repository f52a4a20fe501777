"""Keeps web pages of others from calling the daemon through the browser of its operator.

A page from anywhere can have a browser send requests to a loopback address, and
without keys the daemon answers whoever asks. Three things give such a request
away, none of which a page can change:

- ``Origin`` and ``Sec-Fetch-Site`` say that it comes from another site;
- its ``Host`` is a name of the page's, when the page has had its name lead to
  the loopback address (DNS rebinding): to the browser both are one site then.

Programs that are no browsers send neither of the first two, and the address
that they were given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

from hookd_daemon.errors import PermissionDeniedError
from hookd_daemon.values import shorten

_LOOPBACK_NAME = "localhost"


class Guard:
    """Refuses requests that a page of somebody else has a browser send.

    Args:
        keys_required: whether callers need a key now. If so any host will do:
            a page has no key.
        listen_host: the host that the daemon listens on.
        scheme: what it speaks: ``http`` or ``https``.
        public_url: where it is reached through a proxy, if it is.
    """

    def __init__(
        self,
        keys_required: Callable[[], bool],
        listen_host: str,
        scheme: str = "http",
        public_url: str | None = None,
    ) -> None:
        self._keys_required = keys_required
        self._scheme = scheme
        self._hosts = {listen_host.lower()}
        self._origins: set[str] = set()
        self._any_address = False
        address = _address(listen_host)
        if address is not None:
            self._hosts.add(str(address))
            self._any_address = address.is_unspecified
        if public_url:
            public = urlsplit(public_url)
            self._hosts.add((public.hostname or "").lower())
            self._origins.add(_origin(public))

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Refuses what a page of another site has sent.

        Args:
            method: of the request.
            headers: of the request, names in lower case.

        Raises:
            PermissionDeniedError: it is refused.
        """
        host = headers.get("host", "")
        if not self._keys_required() and not self._knows(host):
            raise PermissionDeniedError(
                f"the host {shorten(host)} is none of the daemon's: without API keys it answers "
                "only to the address that it listens on, to loopback names and to --public-url",
                header="host",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, host):
            raise PermissionDeniedError(
                f"the request comes from a page of another site, {shorten(origin)}", header="origin"
            )
        site = headers.get("sec-fetch-site", "none")
        follows_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if site not in {"none", "same-origin"} and not follows_link:
            raise PermissionDeniedError(
                "the request comes from a page of another site", header="sec-fetch-site"
            )

    def _is_own(self, origin: str, host: str) -> bool:
        # With keys the host is anything, and so is this: but a page of another
        # site has another host than the one it asks.
        return origin.lower() in {f"{self._scheme}://{host}".lower(), *self._origins}

    def _knows(self, host: str) -> bool:
        name = _name(host)
        if name in self._hosts or name == _LOOPBACK_NAME or name.endswith(f".{_LOOPBACK_NAME}"):
            return True
        address = _address(name)
        if address is None:
            return False
        # A page cannot have an address as its name.
        return address.is_loopback or self._any_address or str(address) in self._hosts


def _origin(url: SplitResult) -> str:
    """The site of a URL, as browsers write it in ``Origin``."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    usual = {"http": 80, "https": 443}.get(url.scheme)
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port not in {None, usual} else "")


def _name(host: str) -> str:
    """The name or address in a ``Host``, without port and brackets; empty for nonsense."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
