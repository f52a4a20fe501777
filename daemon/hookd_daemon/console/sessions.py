"""Who is signed in: sessions in memory, none of which outlives its key."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from hookd_daemon.auth.door import Caller

#: A session ends after so many seconds, whatever is done in it.
LONGEST_S = 12 * 3600
#: So many sessions there are at most: the one that began first ends for one more.
MOST_SESSIONS = 1_000
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has signed in.

    Attributes:
        caller: who he is; whether his key is valid still is for the door to say.
        until: when it ends, by the clock of the sessions.
    """

    caller: Caller
    until: float


class Sessions:
    """The sessions, by the secrets that browsers bear.

    Only the hash of a secret is kept.

    Args:
        monotonic: seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._open: OrderedDict[bytes, Session] = OrderedDict()
        self._salt = secrets.token_bytes(_BYTES)

    def new_secret(self) -> str:
        """256 random bits, as a cookie holds them."""
        return secrets.token_urlsafe(_BYTES)

    def begin(self, caller: Caller) -> str:
        """Begins a session; returns its secret."""
        secret = self.new_secret()
        while len(self._open) >= MOST_SESSIONS:
            self._open.popitem(last=False)
        self._open[_digest(secret)] = Session(caller, self._monotonic() + LONGEST_S)
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of a secret; None when there is none, or it has ended."""
        digest = _digest(secret)
        session = self._open.get(digest)
        if session is not None and session.until <= self._monotonic():
            del self._open[digest]
            return None
        return session

    def end(self, secret: str) -> None:
        """Ends a session, if there is one."""
        self._open.pop(_digest(secret), None)

    def form_token(self, secret: str) -> str:
        """What a form must bring back that was made for the browser with this secret."""
        return hmac.new(self._salt, secret.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, secret: str, sent: str) -> bool:
        """Whether a form brought it back; takes the same time whatever was sent."""
        return hmac.compare_digest(self.form_token(secret).encode(), sent.encode())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
