"""What the oracle deals with: runs, hooks, payloads, refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.model.facts import AtLeast, Facts, Symbol

Token = str | Symbol

#: The gRPC status of each reason.
CODES = {
    "HOOK_CONFLICT": "ALREADY_EXISTS",
    "HOOK_NOT_FOUND": "NOT_FOUND",
    "RUN_NOT_FOUND": "NOT_FOUND",
    "RUN_EXISTS": "ALREADY_EXISTS",
    "RUN_NOT_ACTIVE": "FAILED_PRECONDITION",
    "ID_REUSED": "INVALID_ARGUMENT",
    "STALE_TURN": "ABORTED",
    "INVALID_ARGUMENT": "INVALID_ARGUMENT",
    "LIMIT_EXCEEDED": "RESOURCE_EXHAUSTED",
    "STORE_UNAVAILABLE": "UNAVAILABLE",
}
MAX_TOKEN_BYTES = 512
ACTIVE = ("pending", "running")


class Refused(Exception):
    """A call, or an item of a batch, must be refused.

    Attributes:
        facts: the reason, the status, and what the metadata must at least say.
    """

    def __init__(self, reason: str, conflict: Facts | None = None, **about: Any) -> None:
        super().__init__(reason)
        self.facts: Facts = {"reason": reason, "code": CODES[reason], "metadata": AtLeast(about)}
        if conflict is not None:
            self.facts["conflict"] = conflict


@dataclass(frozen=True, slots=True)
class Spec:
    """What the creator of a hook says about it; times in milliseconds.

    A ``token`` of None is left to the daemon. An empty ``hook_id`` is for
    claims of a start only.
    """

    hook_id: str
    token: Token | None
    metadata: str | None = None
    ttl: int = 0
    hold_after: int = 0


@dataclass(slots=True, eq=False)
class Hook:
    """A hook, whatever became of it.

    Attributes:
        run: its run.
        spec: what its creator said.
        token: its token.
        created_at: when it was created.
        revision: of its claim; None if it lost.
        conflict: what it was told when it lost.
        gone: "disposed", "expired", or empty.
        held_until: when its token is free, once its run has ended; 0 for at once.
        payloads: what it has accepted.
    """

    run: Run
    spec: Spec
    token: Token
    created_at: int
    revision: Symbol | None
    conflict: Facts | None = None
    gone: str = ""
    held_until: int = 0
    payloads: list[Facts] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """A run; ``content`` tells its start from others."""

    run_id: str
    content: tuple[Any, ...]
    workflow: str
    input: str
    external: bool
    lease_ttl: int
    created_at: int
    status: str = "pending"
    started_at: int = 0
    ended_at: int = 0
    lease_until: int = 0
    remove_at: int = 0
    end: Facts = field(default_factory=dict)
    log: list[Facts] = field(default_factory=list)
    hooks: dict[str, Hook] = field(default_factory=dict)
    claims: list[str] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ACTIVE


@dataclass(frozen=True, slots=True)
class Receipt:
    """A payload that was accepted: by which run and hook, at which position."""

    run: Run
    hook_id: str
    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Due:
    """Something that happens by itself.

    Attributes:
        time: when.
        kind: "lapsed" for a lease, "expired" for a ttl, "freed" for a hold,
            "removed" for the retention.
        run: to which run.
        hook: to which hook, if it is one.
    """

    time: int
    kind: str
    run: Run
    hook: Hook | None = None


def some(**fields: Any) -> Facts:
    """Those of the facts that say something."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0, False, [])}
