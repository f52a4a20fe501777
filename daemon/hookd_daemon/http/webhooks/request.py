"""A request to a webhook, as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from hookd_daemon.http.webhooks.address import Proxies

#: What a payload never has: a browser sends them to everything at an address,
#: and they are for others there.
PRIVATE_HEADERS = frozenset({"cookie", "proxy-authorization"})


class AmbiguousHeaderError(Exception):
    """A header that may stand there once stands there twice."""


@dataclass(slots=True)
class IncomingRequest:
    """A request.

    Attributes:
        method: in capitals.
        path: what follows the hook's URL in the path, as it was sent.
        query: what follows ``?``, as it was sent.
        headers: in their order, names in lower case.
        remote_address: who sent it.
        body: its body; empty until it was read.
    """

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    remote_address: str
    body: bytes = b""

    @classmethod
    def of(cls, scope: Scope, path: str, proxies: Proxies) -> IncomingRequest:
        """The request of an ASGI scope, without its body."""
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        client = scope.get("client")
        forwarded = [value for name, value in headers if name == "x-forwarded-for"]
        return cls(
            method=scope["method"].upper(),
            path=path,
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            remote_address=proxies.sender(client[0] if client else "", forwarded),
        )

    def header(self, name: str) -> str | None:
        """The value of a header; None when it is not there.

        Raises:
            AmbiguousHeaderError: it is there more than once.
        """
        found = [value for known, value in self.headers if known == name]
        if len(found) > 1:
            raise AmbiguousHeaderError(name)
        return found[0] if found else None

    def metadata(self) -> Mapping[str, str]:
        """The headers by their names, the first of each."""
        return dict(reversed(self.headers))
