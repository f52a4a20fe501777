"""What a transaction function knows of the world outside."""

from __future__ import annotations

from dataclasses import dataclass

from hookd_daemon.core.limits import NO_LIMITS, Limits


@dataclass(slots=True)
class Moment:
    """The time of a call and what holds for it.

    Attributes:
        now_ms: the time, in milliseconds since 1970.
        booted_ms: since when leases can be kept alive: the daemon's start. A
            lease never lapses sooner than its ttl after that, because while
            the daemon was down nobody could keep it alive.
        retention_ms: how long an ended run of the project is retained; None
            for ever.
        traceparent: the W3C trace context of the call; empty when it has none.
        limits: how much the project may have.
        webhook_base_url: what the URLs of hooks begin with; empty when nobody
            can reach a hook by one.
    """

    now_ms: int
    booted_ms: int = 0
    retention_ms: int | None = None
    traceparent: str = ""
    limits: Limits = NO_LIMITS
    webhook_base_url: str = ""
