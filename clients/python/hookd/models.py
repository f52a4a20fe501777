"""What the client gives and takes: frozen snapshots of what the daemon knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from hookd.durations import Seconds
    from hookd.enums import HookStatus, QueueKind, RunStatus, StartOutcome, WaitKind
    from hookd.hook import Hook
    from hookd.verify import Verification
    from hookd.webhook_response import RespondWith


@dataclass(frozen=True, slots=True)
class HookSpec:
    """What is said about a hook that is to be created."""

    token: str | None = field(default=None, repr=False)
    """1 to 512 bytes of any text (the limit is the daemon's); made by the daemon when None."""
    hook_id: str | None = None
    """The name of the hook in its run and the key of a retry; made by the client when None."""
    metadata: Any = None
    """Any value, for whoever looks the hook up; None for nothing."""
    ttl: Seconds | None = None
    """The hook disposes itself after this time."""
    hold_after: Seconds | None = None
    """The token stays taken for this long after the run's end."""


@dataclass(frozen=True, slots=True)
class WebhookSpec(HookSpec):
    """What is said about a hook that is reached by a URL, too: for the ``claims`` of a start."""

    respond_with: RespondWith = None
    """What whoever sends a request is answered; see ``run.create_webhook``."""
    verify: Verification | None = None
    """Refuse requests that are not signed so; made by ``hookd.verify``."""


@dataclass(frozen=True, slots=True)
class HookClaim:
    """One hook of a batch: what is to be created, and for which run."""

    run_id: str
    hook: HookSpec


@dataclass(frozen=True, slots=True)
class HookConflict:
    """Who holds a token that somebody else wanted."""

    token: str = field(repr=False)
    run_id: str
    """The owner."""
    hook_id: str
    """The owner's hook."""
    run_status: RunStatus
    """How the owner stood when the claim was lost."""
    workflow: str
    claimed_at: datetime | None
    revision: int
    """The owner's fencing number."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed."""

    type: str
    """The kind of error, for programs: "ValueError", "LEASE_EXPIRED"."""
    message: str
    """What happened, for people."""
    details: Any = None
    """Anything more."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run, as it stood when the daemon was asked."""

    project: str
    run_id: str
    workflow: str
    status: RunStatus
    input: Any
    """None when there is none, and in lists."""
    output: Any
    """What the run completed with; None before, and in lists."""
    failure: Failure | None
    """What the run failed with."""
    cancel_reason: str
    """What the canceller said."""
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    last_seq: int
    """The position of the last event in the run's log."""
    external: bool
    """A service drives the run by itself, without a worker."""
    lease_ttl: timedelta | None
    """How long the run lives without a keep-alive; None when it has no lease."""
    lease_expires_at: datetime | None
    attributes: Mapping[str, str]
    parent_run_id: str = ""
    """The run whose workflow has started this one; empty when none has."""


@dataclass(frozen=True, slots=True)
class WaitInfo:
    """Something that a run waits for."""

    kind: WaitKind
    name: str = field(repr=False)
    """The workflow, the step, the token of the hook, or the child's workflow."""
    correlation_id: str
    """The id of the step, the hook, the timer or the child."""
    until: datetime | None
    """When a timer fires, or a step is tried again."""
    unserved: bool
    """No worker that is connected serves the workflow, or the step."""
    attempt: int
    """The attempt at a step that is being executed, from 1; 0 when it waits for a worker."""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """What waits for workers under one name."""

    kind: QueueKind
    name: str
    """The workflow's, or the step's."""
    length: int
    """How much waits or is being worked on, counted up to 1000."""
    leased: int
    """How much of it workers are at."""
    oldest: datetime | None
    """Since when the oldest of it is there; None when there is none."""
    workers: tuple[str, ...]
    """The names of the workers that serve it now, at most 100."""

    @property
    def waiting(self) -> int:
        """How much no worker is at."""
        return max(0, self.length - self.leased)


@dataclass(frozen=True, slots=True)
class HookInfo:
    """A hook, as it stood when the daemon was asked."""

    project: str
    run_id: str
    hook_id: str
    token: str = field(repr=False)
    status: HookStatus
    metadata: Any
    """What the creator attached; None in lists."""
    created_at: datetime | None
    expires_at: datetime | None
    """When the hook disposes itself; None when it has no ``ttl``."""
    hold_after: timedelta | None
    revision: int
    """The claim's fencing number: a later claim always has a greater one."""
    payload_count: int
    """How many payloads the hook has accepted so far."""
    run_status: RunStatus
    workflow: str
    url: str = field(default="", repr=False)
    """Where requests to it are sent, as secret as the token; empty when it is no webhook."""


@dataclass(frozen=True, slots=True)
class StartInfo:
    """What ``start`` did."""

    outcome: StartOutcome
    run: RunInfo
    """The run at that time: the new one, or the owner."""
    hooks: tuple[Hook, ...]
    """The hooks that were created with the run, in the order of ``claims``."""
    conflict: HookConflict | None
    """The claim that stood in the way; None when the run is new."""
    superseded_run_ids: tuple[str, ...]
    """The runs that were cancelled to take their tokens over."""
    payload_seq: int | None
    """The position of the payload that was delivered among those of its hook."""
    payload_duplicate: bool
    """The payload id had been accepted before: nothing was delivered again."""


@dataclass(frozen=True, slots=True)
class ResumeResult:
    """What became of a payload."""

    run_id: str
    """The run that accepted it."""
    hook_id: str
    payload_id: str
    payload_seq: int
    """The payload's position among those of its hook, from 1."""
    duplicate: bool
    """The payload id had been accepted before: nothing was appended."""


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """A payload that a hook accepted."""

    payload_seq: int
    """The position among the payloads of the hook, from 1."""
    payload_id: str
    value: Any
    received_at: datetime | None
    traceparent: str
    """The sender's W3C trace context, empty when it sent none."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a run's log."""

    seq: int
    """The position in the log, from 1, without gaps."""
    type: str
    """What happened: "run_created", "hook_received", …; "unknown" from a newer daemon."""
    time: datetime | None
    correlation_id: str
    """What the event belongs to: the id of the hook, the step, the timer, or the child."""
    data: Mapping[str, Any] = field(repr=False)
    """The facts, under the names that the API gives them."""
    turn: int = 0
    """The turn of the workflow that has asked for it, from 1; 0 for all other events."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a stream."""

    index: int
    """The position in the stream, from 0."""
    value: Any
    time: datetime | None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream of a run."""

    namespace: str
    length: int
    """The number of chunks in it."""
    closed: bool
    """No more chunks will come: it was closed, or its run has ended."""


@dataclass(frozen=True, slots=True)
class Stats:
    """How the daemon stands. Totals count from its start, over all projects."""

    version: str
    started_at: datetime | None
    recovery_time: timedelta
    recovered_tokens: int
    pending_runs: int
    running_runs: int
    active_tokens: int
    """Tokens that are taken, held ones included."""
    token_index_bytes: int
    store_bytes: int
    revision: int
    """The greatest fencing number that was given out."""
    calls_in_flight: int
    claims_total: int
    conflicts_total: int
    releases_total: int
    resumes_total: int


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A copy of the data directory."""

    path: str
    """Where it is, on the daemon's machine."""
    bytes: int


@dataclass(frozen=True, slots=True)
class CompactResult:
    """What compacting the store gave."""

    bytes_before: int
    bytes_after: int
