"""Where the engines keep claims and their own facts.

Every key begins with one byte that names its table. ``core.keys`` has the
other tables; no two use the same byte.

    T project NUL token       ClaimRecord: a token that is taken
    M name                    facts of the engine: the revisions that are given out
"""

from __future__ import annotations

from functools import lru_cache

CLAIMS = b"T"
REVISIONS = b"Mrevisions"


@lru_cache(maxsize=1024)
def claims_of_project(project: str) -> bytes:
    """What the keys of a project's claims begin with. A project has no NUL in it."""
    return CLAIMS + project.encode() + b"\0"


def claim(project: str, token: str) -> bytes:
    """The key of the claim of a token."""
    return claims_of_project(project) + token.encode()


def split_claim(key: bytes) -> tuple[str, bytes]:
    """The project and the token of a claim's key."""
    project, _, token = key[1:].partition(b"\0")
    return project.decode(), token


def end_of(prefix: bytes) -> bytes:
    """The least key that is greater than all keys that begin with ``prefix``."""
    last = prefix.rstrip(b"\xff")
    return last[:-1] + bytes([last[-1] + 1])
