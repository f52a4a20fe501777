"""What senders are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

from hookd.v1.webhook_pb2 import HttpResponse
from starlette.types import Send

from hookd_daemon.errors import HookdError, LimitExceededError, StoreUnavailableError

#: What a run answers is shown at the same address as the rest of this port. A
#: browser must run nothing of it there, nor take it for something else.
_GUARD = (
    (b"content-security-policy", b"sandbox allow-forms"),
    (b"x-content-type-options", b"nosniff"),
)
_WITHOUT_LENGTH = frozenset({204, 304})

#: A full quota is not empty again so soon, in seconds.
FULL_S = 60

#: How answers are counted, and called in spans.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    408: "CANCELLED",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        status: its status.
        headers: besides those that say how it is framed.
        body: its body.
        code: how it is counted.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    code: str = "OK"

    async def send(self, send: Send) -> None:
        """Sends it."""
        headers = [*self.headers, *_GUARD]
        if self.status not in _WITHOUT_LENGTH:
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


#: The request is delivered, and nothing was said about what to answer.
ACCEPTED = Answer(202)
#: No request reaches a hook there, and nothing is said about why.
NOT_FOUND = Answer(404, code=_CODES[404])


class RefusedError(Exception):
    """A request is not taken.

    Attributes:
        answer: what its sender is told.
    """

    def __init__(self, status: HTTPStatus, why: str = "", retry_s: int = 0) -> None:
        super().__init__(why)
        headers = []
        if why:
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        if retry_s:
            headers.append((b"retry-after", str(retry_s).encode()))
        self.answer = Answer(
            status, headers, f"{why}\n".encode() if why else b"", _CODES[status.value]
        )


def given(response: HttpResponse) -> Answer:
    """What a run, or the creator of a hook, wants a sender to be answered."""
    headers = [
        (header.name.lower().encode("ascii"), header.value.encode("latin-1"))
        for header in response.headers
    ]
    if response.body and not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"application/octet-stream"))
    return Answer(response.status or 200, headers, response.body)


def refusal(error: HookdError) -> RefusedError:
    """What a sender is told when a limit is reached, or the daemon goes down."""
    if isinstance(error, LimitExceededError):
        # Not 507, with a full quota: senders try again later after a 429 only.
        wait = FULL_S if error.limit == "payload_bytes" else max(ceil(error.retry_ms / 1000), 1)
        return RefusedError(HTTPStatus.TOO_MANY_REQUESTS, retry_s=wait)
    if isinstance(error, StoreUnavailableError):
        return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, retry_s=1)
    return RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR)
