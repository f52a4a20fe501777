"""The errors of hookd: types that know their gRPC status and their reason.

A status is the canonical number of gRPC, so that nothing below ``api`` needs
to know gRPC. The reasons are those of ``hookd.v1.ErrorReason`` without prefix;
``docs/errors/`` has a page for each, and every message names its page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from hookd.v1 import common_pb2, errors_pb2

#: A token in a message is cut after so many characters: a status travels in
#: HTTP/2 headers, which are small. The typed details carry it whole.
SHOWN_TOKEN_CHARS = 128


class Code(IntEnum):
    """The canonical status codes of gRPC that hookd answers with."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


def status_name(status: common_pb2.RunStatus.ValueType) -> str:
    """The status of a run in lower case, without the prefix of its enum."""
    return common_pb2.RunStatus.Name(status).removeprefix("RUN_STATUS_").lower()


def shown(token: str) -> str:
    """A token as a message shows it."""
    return token if len(token) <= SHOWN_TOKEN_CHARS else token[:SHOWN_TOKEN_CHARS] + "…"


class HookdError(Exception):
    """A call was refused.

    Attributes:
        code: the gRPC status.
        reason: the reason, a name of ``hookd.v1.ErrorReason`` without prefix.
        message: what happened, for people, with the page that explains it.
        metadata: the facts, for programs; goes into ``google.rpc.ErrorInfo``.
    """

    code: ClassVar[Code] = Code.INTERNAL
    reason: ClassVar[str] = "ERROR_REASON_UNSPECIFIED"

    def __init__(self, message: str, **metadata: str) -> None:
        self.message = f"{message}. See {self.page()}"
        self.metadata = metadata
        super().__init__(self.message)

    @classmethod
    def page(cls) -> str:
        """The page of the documentation that explains this error."""
        return f"docs/errors/{cls.reason.lower().replace('_', '-')}.md"

    @property
    def reason_number(self) -> errors_pb2.ErrorReason.ValueType:
        """The reason as a number of ``hookd.v1.ErrorReason``."""
        return errors_pb2.ErrorReason.Value(f"ERROR_REASON_{self.reason}")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A claim that lost, with its owner.

    Attributes:
        detail: what the caller is told.
        traceparent: the W3C trace context of the call that made the owner's
            claim; empty when it had none.
    """

    detail: errors_pb2.HookConflict
    traceparent: str = ""


class HookConflictError(HookdError):
    """The token belongs to another hook.

    Attributes:
        conflict: the owner.
    """

    code = Code.ALREADY_EXISTS
    reason = "HOOK_CONFLICT"

    def __init__(self, conflict: Conflict) -> None:
        self.conflict = conflict
        detail = conflict.detail
        facts = {
            "run_id": detail.run_id,
            "hook_id": detail.hook_id,
            "run_status": status_name(detail.run_status),
            "workflow": detail.workflow,
            "revision": str(detail.revision),
        }
        if len(detail.token) <= SHOWN_TOKEN_CHARS:
            facts["token"] = detail.token
        super().__init__(
            f'Hook token "{shown(detail.token)}" is already in use by another workflow'
            f" (run {detail.run_id})",
            **facts,
        )


class HookNotFoundError(HookdError):
    """No active hook has the token, or the run has no such hook."""

    code = Code.NOT_FOUND
    reason = "HOOK_NOT_FOUND"

    @classmethod
    def by_token(cls, token: str) -> HookNotFoundError:
        """No active hook has this token."""
        return cls(f'no active hook has the token "{shown(token)}"', token=token)

    @classmethod
    def by_id(cls, run_id: str, hook_id: str) -> HookNotFoundError:
        """The run has no hook with this id."""
        return cls(f"run {run_id} has no hook {hook_id}", run_id=run_id, hook_id=hook_id)

    @classmethod
    def gone(cls, run_id: str, hook_id: str, token: str, how: str) -> HookNotFoundError:
        """This very hook was there, and was disposed or expired since."""
        return cls(
            f"hook {hook_id} of run {run_id} was {how} and has given up its token; "
            "a new claim needs a new hook id",
            run_id=run_id,
            hook_id=hook_id,
            token=token,
            hook_status=how,
        )


class RunNotFoundError(HookdError):
    """The project has no run with this id."""

    code = Code.NOT_FOUND
    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run has the id {run_id}", run_id=run_id)


class RunExistsError(HookdError):
    """The run id is in use by a run that was started otherwise."""

    code = Code.ALREADY_EXISTS
    reason = "RUN_EXISTS"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"a run with the id {run_id} was started before, with other content", run_id=run_id
        )


class RunNotActiveError(HookdError):
    """The run has ended."""

    code = Code.FAILED_PRECONDITION
    reason = "RUN_NOT_ACTIVE"

    def __init__(self, run_id: str, status: common_pb2.RunStatus.ValueType) -> None:
        name = status_name(status)
        super().__init__(f"run {run_id} has ended: it is {name}", run_id=run_id, status=name)


class StaleTurnError(HookdError):
    """What a worker reports rests on a log that has moved on, or on a lease that is another's."""

    code = Code.ABORTED
    reason = "STALE_TURN"

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(f"run {run_id}: {why}", run_id=run_id)


class IdReusedError(HookdError):
    """An id that the caller chose was used before, with other content."""

    code = Code.INVALID_ARGUMENT
    reason = "ID_REUSED"


class InvalidArgumentError(HookdError):
    """A field of the request is wrong.

    Attributes:
        field: the field, with the fields around it: ``hooks[2].hook.token``.
        description: what is wrong with it.
    """

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str) -> None:
        self.field = field
        self.description = description
        super().__init__(f"{field}: {description}", field=field)

    def within(self, outer: str) -> InvalidArgumentError:
        """The same for a field inside of ``outer``."""
        return InvalidArgumentError(f"{outer}.{self.field}", self.description)


class LimitExceededError(HookdError):
    """More was asked than the daemon gives at once, or than a project may have.

    Attributes:
        limit: which limit.
        retry_ms: there is room again after so many milliseconds; 0 if nobody knows.
    """

    code = Code.RESOURCE_EXHAUSTED
    reason = "LIMIT_EXCEEDED"

    def __init__(self, limit: str, allowed: int, advice: str, retry_ms: int = 0) -> None:
        self.limit = limit
        self.retry_ms = retry_ms
        facts = {"limit": limit, "allowed": str(allowed)}
        if retry_ms:
            facts["retry_after_ms"] = str(retry_ms)
        super().__init__(f"the limit {limit} of {allowed} is reached; {advice}", **facts)


class StoreUnavailableError(HookdError):
    """The store cannot be written, or the daemon is going down."""

    code = Code.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"


class UnauthenticatedError(HookdError):
    """The call has no valid API key, and needs one."""

    code = Code.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"

    @classmethod
    def missing(cls) -> UnauthenticatedError:
        """No key was sent."""
        return cls("an API key is needed, as metadata: authorization: Bearer KEY")

    @classmethod
    def invalid(cls) -> UnauthenticatedError:
        """The key is unknown, revoked or expired: which of them is not told."""
        return cls("the API key is not valid")

    @classmethod
    def no_more(cls) -> UnauthenticatedError:
        """The key was valid when the call began."""
        return cls("the API key is not valid any more")


class PermissionDeniedError(HookdError):
    """The API key is for something else.

    It is said before anything is looked up: so it tells nothing about what
    there is in the project.
    """

    code = Code.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"

    @classmethod
    def of_role(cls, path: str, role: str) -> PermissionDeniedError:
        """The role of the key does not allow the call."""
        method = path.rpartition("/")[2]
        return cls(f"the role {role} of the API key does not allow {method}", role=role)

    @classmethod
    def of_project(cls) -> PermissionDeniedError:
        """The key is for another project than the request names."""
        return cls("the API key is for another project than the request names")

    @classmethod
    def of_all_projects(cls) -> PermissionDeniedError:
        """The call is about the whole daemon, and the key for one project."""
        return cls("the API key is for one project, and this is about all of them")
