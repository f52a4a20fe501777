"""API keys: what a caller holds, and what is kept of it.

A key is ``hkd_ID_SECRET``. The id is no secret: it names the key in lists and
logs. The secret has 256 random bits, so nobody can try them all, and a plain
SHA-256 of the key is enough to keep: slow hashes are for what people think up.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from hookd_daemon.auth.roles import Role

PREFIX = "hkd"
_ID_BYTES = 6
_SECRET_BYTES = 32

#: As in ``api.validate``, which speaks of requests.
Project = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
#: For people; it is shown on terminals.
Name = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,98}[!-~])?$|^$")]


class Key(BaseModel):
    """What is kept of a key.

    Attributes:
        id: names the key; 12 hexadecimal digits.
        name: what it is for, for people; may be empty.
        project: the only project it is for; None for all.
        role: what it may be used for.
        sha256: the SHA-256 of the whole key, in hexadecimal digits.
        created_at: when it was made.
        expires_at: from when on it is not valid; None for never.
        revoked_at: when it was revoked; None if it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    name: Name = ""
    project: Project | None = None
    role: Role
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @model_validator(mode="after")
    def _check_scope(self) -> Key:
        if self.project is None and self.role is not Role.ADMIN:
            raise ValueError("only a key with the role admin can be for all projects")
        return self

    def state(self, now: datetime) -> str:
        """How it stands: ``active``, ``revoked`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"


def make(
    *,
    project: str | None,
    role: Role,
    name: str = "",
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[str, Key]:
    """Makes a new key.

    Args:
        project: the only project it is for; None for all.
        role: what it may be used for.
        name: what it is for, for people.
        now: the time.
        expires_at: from when on it is not valid; None for never.

    Returns:
        The key itself, which is kept nowhere, and what is kept of it.

    Raises:
        pydantic.ValidationError: project and role do not go together, or one
            of the arguments is malformed.
    """
    key_id = secrets.token_hex(_ID_BYTES)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    kept = Key(
        id=key_id,
        name=name,
        project=project,
        role=role,
        sha256=digest(text).hex(),
        created_at=now,
        expires_at=expires_at,
    )
    return text, kept


def digest(text: str) -> bytes:
    """The SHA-256 of a key as a caller sends it."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def id_of(text: str) -> str:
    """The id that a key names; anything at all if it is no key."""
    return text[len(PREFIX) + 1 :].partition("_")[0]
