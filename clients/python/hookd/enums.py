"""The words for how runs, hooks and calls stand."""

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands. A run that has ended never changes again."""

    UNKNOWN = "unknown"
    """The daemon said something that this client does not know yet."""
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the run has completed, failed or been cancelled."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class HookStatus(StrEnum):
    """Where a hook stands."""

    UNKNOWN = "unknown"
    """The daemon said something that this client does not know yet."""
    ACTIVE = "active"
    """It holds its token and takes payloads."""
    HELD = "held"
    """Its run has ended and ``hold_after`` has not: the token stays taken."""
    DISPOSED = "disposed"
    EXPIRED = "expired"
    """Its ``ttl`` passed."""
    CLOSED = "closed"
    """Its run ended."""
    CONFLICTED = "conflicted"
    """It never held its token: another hook did."""


class ConflictPolicy(StrEnum):
    """What ``start`` does when a token that it should claim is taken."""

    FAIL = "fail"
    """Raise HookConflictError; no run is started."""
    USE_EXISTING = "use_existing"
    """Give the owner's run; no run is started."""
    DELIVER = "deliver"
    """Deliver ``payload`` to the owner's hook and give the owner's run."""
    TAKE_OVER = "take_over"
    """Cancel the owners, take their tokens, and start."""


class StartOutcome(StrEnum):
    """What ``start`` did."""

    UNKNOWN = "unknown"
    """The daemon said something that this client does not know yet."""
    STARTED = "started"
    """A new run was started."""
    ALREADY_STARTED = "already_started"
    """The run was there already: the call was a retry."""
    USED_EXISTING = "used_existing"
    """A token was taken; the run is its owner."""
    DELIVERED = "delivered"
    """A token was taken and its owner got the payload; the run is the owner."""


class WaitKind(StrEnum):
    """What a run waits for."""

    UNKNOWN = "unknown"
    """The daemon said something that this client does not know yet."""
    TURN = "turn"
    """A worker that goes on with its workflow."""
    STEP = "step"
    """A worker that executes a step, or the step's end."""
    RETRY = "retry"
    """The next attempt at a step."""
    HOOK = "hook"
    """A payload."""
    TIMER = "timer"
    CHILD = "child"
    """The end of a run that it has started."""


class QueueKind(StrEnum):
    """What a queue holds."""

    UNKNOWN = "unknown"
    """The daemon said something that this client does not know yet."""
    WORKFLOW = "workflow"
    """Runs whose code can go on."""
    STEP = "step"
    """Steps to execute."""
