"""Randomness that is the same each time the code of a run is executed.

It comes from the seed of the run, which is random, and which nobody knows but
the daemon and its workers: who knows the ids of a run cannot tell its tokens.
"""

from __future__ import annotations

import base64
import hmac
from functools import cached_property
from random import Random
from uuid import UUID

_TOKEN_BYTES = 16


class Randomness:
    """All that is random in one run."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._uuids = 0

    @cached_property
    def random(self) -> Random:
        """The generator of the run."""
        return Random(self._number("random"))  # noqa: S311 - what is secret is not made by it

    @cached_property
    def salt(self) -> int:
        """A number that tells this run from others, small enough for a hash."""
        return self._number("salt") % 2**48

    def uuid4(self) -> UUID:
        """Gives the next UUID."""
        self._uuids += 1
        return UUID(bytes=self._bytes(f"uuid {self._uuids}")[:16], version=4)

    def token(self, hook_id: str) -> str:
        """Gives the token of a hook for which the code names none."""
        attempt = 0
        while True:
            data = self._bytes(f"token {hook_id} {attempt}")[:_TOKEN_BYTES]
            token = base64.urlsafe_b64encode(data).decode().rstrip("=")
            # As an argument of a command it must not look like an option.
            if not token.startswith("-"):
                return token
            attempt += 1

    def _bytes(self, purpose: str) -> bytes:
        return hmac.digest(self._seed, purpose.encode(), "sha256")

    def _number(self, purpose: str) -> int:
        return int.from_bytes(self._bytes(purpose), "big")
