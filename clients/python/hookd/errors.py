"""What can go wrong, as types.

Every error that the daemon tells is a HookdError with the ``reason`` and the
``metadata`` of its ErrorInfo. Catch the subclass that you can do something
about; its attributes carry the facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hookd.enums import HookStatus, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


def _restore(cls: type[HookdError], args: tuple[object, ...]) -> HookdError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class HookdError(Exception):
    """Anything that hookd says no to, and what went wrong on the way to it.

    Attributes:
        reason: Why, as one word: a reason of the daemon ("HOOK_CONFLICT"), or
            the name of the gRPC status when the daemon gave none.
        metadata: What the error is about, by name.
    """

    reason: str = "UNKNOWN"
    metadata: Mapping[str, str]

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.metadata = dict(metadata or {})

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors take facts and not `args`: put the state back as it was.
        return _restore, (type(self), self.args), dict(self.__dict__)


class HookConflictError(HookdError):
    """The token belongs to another hook.

    Attributes:
        token: The token that was asked for.
        conflicting_run_id: The run that owns the token.
        hook_id: The owner's hook.
        run_status: How the owner stood when the claim was lost; ended only
            when its ``hold_after`` keeps the token.
        workflow: The name of the owner's workflow.
        claimed_at: When the owner claimed the token.
        revision: The owner's fencing number.
    """

    reason = "HOOK_CONFLICT"

    def __init__(
        self,
        token: str,
        conflicting_run_id: str,
        *,
        hook_id: str = "",
        run_status: RunStatus = RunStatus.UNKNOWN,
        workflow: str = "",
        claimed_at: datetime | None = None,
        revision: int = 0,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            message
            or f'Hook token "{token}" is already in use by another workflow '
            f"(run {conflicting_run_id})",
            metadata=metadata,
        )
        self.token = token
        self.conflicting_run_id = conflicting_run_id
        self.hook_id = hook_id
        self.run_status = run_status
        self.workflow = workflow
        self.claimed_at = claimed_at
        self.revision = revision


class HookNotFoundError(HookdError):
    """No active hook has this token, or the run has no such hook.

    Attributes:
        token: The token that was asked for; None when the hook was asked for
            by its id.
        run_id: The run whose hook was asked for by id, else None.
        hook_id: The id of the hook that was asked for, else None.
    """

    reason = "HOOK_NOT_FOUND"

    def __init__(
        self,
        token: str | None = None,
        *,
        run_id: str | None = None,
        hook_id: str | None = None,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        about = f'token "{token}"' if token is not None else f"id {hook_id} in run {run_id}"
        super().__init__(message or f"No hook has the {about}", metadata=metadata)
        self.token = token
        self.run_id = run_id
        self.hook_id = hook_id


class RunNotFoundError(HookdError):
    """No run of the project has this id.

    Attributes:
        run_id: The id that was asked for.
    """

    reason = "RUN_NOT_FOUND"

    def __init__(
        self,
        run_id: str,
        *,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or f"There is no run {run_id}", metadata=metadata)
        self.run_id = run_id


class RunExistsError(HookdError):
    """The run id is in use by a run that was started otherwise.

    Attributes:
        run_id: The id.
    """

    reason = "RUN_EXISTS"

    def __init__(
        self,
        run_id: str,
        *,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            message or f"Run {run_id} exists and was started otherwise", metadata=metadata
        )
        self.run_id = run_id


class RunNotActiveError(HookdError):
    """The run has ended.

    Attributes:
        run_id: The run.
        status: How it ended.
    """

    reason = "RUN_NOT_ACTIVE"

    def __init__(
        self,
        run_id: str,
        status: RunStatus,
        *,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or f"Run {run_id} has ended: {status}", metadata=metadata)
        self.run_id = run_id
        self.status = status


class IdReusedError(HookdError):
    """An id was used before, with other content."""

    reason = "ID_REUSED"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong."""

    field: str
    """The name of the field, or of the argument."""
    description: str
    """What is wrong with it."""


class InvalidArgumentError(HookdError, ValueError):
    """An argument is wrong; the daemon or the client itself says so.

    Attributes:
        violations: The fields that are wrong, and why.
    """

    reason = "INVALID_ARGUMENT"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.violations = tuple(violations)

    @classmethod
    def of(cls, field: str, description: str) -> Self:
        """Makes the error for one wrong field."""
        return cls(f"{field}: {description}", violations=[FieldViolation(field, description)])


class LimitExceededError(HookdError):
    """More than the daemon takes.

    Attributes:
        limit: Which limit; empty when the daemon did not say.
    """

    reason = "LIMIT_EXCEEDED"

    @property
    def limit(self) -> str:
        """Which limit was met; empty when the daemon did not say."""
        return self.metadata.get("limit", "")


class UnauthenticatedError(HookdError):
    """The daemon requires an API key, and got none that is valid."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(HookdError):
    """The API key is for another project, or its role does not allow the call.

    It tells nothing about what there is in that project.
    """

    reason = "PERMISSION_DENIED"


class UnavailableError(HookdError):
    """The daemon could not be reached, or cannot write, for as long as was tried."""

    reason = "UNAVAILABLE"


class DeadlineExceededError(HookdError, TimeoutError):
    """The time that the call was given has passed. What it asked for may have happened."""

    reason = "DEADLINE_EXCEEDED"


class ClientClosedError(HookdError):
    """The client was closed before or during the call."""

    reason = "CLIENT_CLOSED"


class HookClosedError(HookdError):
    """A hook was awaited that will get no more payloads.

    Attributes:
        run_id: The run of the hook.
        hook_id: The hook.
        status: Why no more can come: disposed, expired, closed, held, conflicted.
        run_status: How the run stands.
    """

    reason = "HOOK_CLOSED"

    def __init__(
        self,
        run_id: str,
        hook_id: str,
        status: HookStatus,
        run_status: RunStatus,
    ) -> None:
        super().__init__(
            f"Hook {hook_id} of run {run_id} takes no more payloads: "
            f"the hook is {status}, its run {run_status}"
        )
        self.run_id = run_id
        self.hook_id = hook_id
        self.status = status
        self.run_status = run_status


class RunFailedError(HookdError):
    """The run whose result was awaited failed.

    Attributes:
        run_id: The run.
        type: The kind of error, for programs: "ValueError", "LEASE_EXPIRED".
        message: What happened, for people.
        details: Anything more that the run left, or None.
    """

    reason = "RUN_FAILED"

    def __init__(
        self, type: str, message: str, details: object = None, *, run_id: str = ""
    ) -> None:
        super().__init__(f"Run {run_id} failed: {type}: {message}")
        self.run_id = run_id
        self.type = type
        self.message = message
        self.details = details


class RunCancelledError(HookdError):
    """The run whose result was awaited, or that this program drove, was cancelled.

    Attributes:
        run_id: The run.
        cancel_reason: What its canceller said; may be empty.
    """

    reason = "RUN_CANCELLED"

    def __init__(self, cancel_reason: str = "", *, run_id: str = "") -> None:
        super().__init__(
            f"Run {run_id} was cancelled" + (f": {cancel_reason}" if cancel_reason else "")
        )
        self.run_id = run_id
        self.cancel_reason = cancel_reason
