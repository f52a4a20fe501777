"""What can go wrong in workflows and steps, as types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hookd.durations import Seconds, seconds
from hookd.errors import HookdError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping


# These two are what users say about their own steps, and nothing that hookd
# says no to: `except HookdError` in a step must not swallow them.
class FatalError(Exception):
    """Raised in a step: another attempt would fail as well, so there is none."""


class RetryableError(Exception):
    """Raised in a step: try again, and if wanted not before some time has passed.

    It costs a retry like any other error; when none is left, the step fails.

    Attributes:
        retry_after: When to try again: seconds from when it is reported, or a
            point in time; None for when the retry policy says so.
    """

    retry_after: float | datetime | None

    def __init__(self, message: str = "", *, retry_after: Seconds | datetime | None = None) -> None:
        super().__init__(message)
        if retry_after is None:
            self.retry_after = None
        elif isinstance(retry_after, datetime):
            if retry_after.utcoffset() is None:
                raise InvalidArgumentError.of(
                    "retry_after", "must be a datetime with a time zone, this one has none"
                )
            self.retry_after = retry_after
        else:
            self.retry_after = seconds(retry_after, "retry_after")

    def delay(self, now: datetime | None = None) -> float | None:
        """Gives the seconds from now until the next attempt; None to leave it to the policy.

        Args:
            now: The time that counts as now; the system's when None.
        """
        if isinstance(self.retry_after, datetime):
            return max(0.0, (self.retry_after - (now or datetime.now(UTC))).total_seconds())
        return self.retry_after


class StepFailedError(HookdError):
    """A step has failed for good.

    A step's own exception is raised when its class is known where the workflow
    runs; then this is its ``__cause__``. Otherwise this is raised.

    Attributes:
        step_name: The name of the step.
        type: The name of the exception's class.
        message: What the exception said.
        attempt: The last attempt, from 1.
        remote_traceback: Where the exception was raised, as text; may be empty.
    """

    reason = "STEP_FAILED"

    def __init__(
        self,
        step_name: str,
        type: str,
        message: str,
        *,
        attempt: int = 0,
        remote_traceback: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        said = f": {message}" if message else ""
        tried = f" (attempt {attempt})" if attempt else ""
        super().__init__(f"Step {step_name} failed{tried}: {type}{said}", metadata=metadata)
        self.step_name = step_name
        self.type = type
        self.message = message
        self.attempt = attempt
        self.remote_traceback = remote_traceback


class NonDeterminismError(HookdError):
    """The code of a workflow does something else than what the log of its run says."""

    reason = "NON_DETERMINISM"


class WorkflowRuleError(HookdError):
    """Workflow code did what it must not: something that blocks, or is not the same in a replay.

    Attributes:
        call: What it did: "time.time()".
        hint: What to do instead.
    """

    reason = "WORKFLOW_RULE"

    def __init__(
        self,
        message: str,
        *,
        call: str = "",
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{message}: {hint}" if hint else message, metadata=metadata)
        self.call = call
        self.hint = hint


class OutsideWorkflowError(HookdError, RuntimeError):
    """Something was called that only the code of a workflow can call."""

    reason = "OUTSIDE_WORKFLOW"


class HookPayloadError(HookdError, ValueError):
    """A hook got a payload that does not fit the type that was declared for it.

    Attributes:
        token: The token of the hook; None when it is not known.
        value: What came, as plain JSON values, bytes, or a Payload.
        problem: What is wrong with it.
    """

    reason = "HOOK_PAYLOAD"

    def __init__(
        self,
        token: str | None,
        value: Any,
        problem: str,
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        about = "" if token is None else f' of hook "{token}"'
        super().__init__(f"A payload{about} does not fit: {problem}", metadata=metadata)
        self.token = token
        self.value = value
        self.problem = problem
