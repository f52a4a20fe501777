"""The one place where what the daemon says becomes an exception."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from hookd import errors
from hookd.convert import run_status, timestamp
from hookd.enums import RunStatus
from hookd.v1 import errors_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpc.aio import AioRpcError

DOMAIN = "hookd"
_DETAILS_KEY = "grpc-status-details-bin"
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_REASON_PREFIX = "ERROR_REASON_"
# What gRPC says before it says anything.
_ALL_ADDRESSES = re.compile(r"^failed to connect to all addresses; last error: [A-Z_]+: ")


@dataclass(slots=True)
class _Facts:
    """What a status or an item of a batch says, in one shape."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    conflict: errors_pb2.HookConflict | None = None
    violations: tuple[errors.FieldViolation, ...] = ()


def error_from_rpc(rpc: AioRpcError, address: str) -> errors.HookdError:
    """Makes the exception for a call to an address that ended with a gRPC status."""
    facts = _Facts(rpc.code(), rpc.details() or "")
    for key, value in rpc.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            _read_details(value, facts)
    error = _error(facts)
    if isinstance(error, errors.UnavailableError) and not facts.reason:
        why = _ALL_ADDRESSES.sub("", str(error))
        return errors.UnavailableError(
            f"hookd at {address} cannot be reached: {why}", reason=error.reason
        )
    return error


def error_from_item(item: errors_pb2.Error) -> errors.HookdError:
    """Makes the exception for one item of a batch."""
    reason = ""
    if item.reason in errors_pb2.ErrorReason.values() and item.reason:
        reason = errors_pb2.ErrorReason.Name(item.reason).removeprefix(_REASON_PREFIX)
    return _error(
        _Facts(
            _CODES.get(item.code, grpc.StatusCode.UNKNOWN),
            item.message,
            reason=reason,
            metadata=dict(item.metadata),
            conflict=item.conflict if item.HasField("conflict") else None,
        )
    )


def is_transient(error: errors.HookdError) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, errors.UnavailableError):
        return True
    at_once = ("calls_in_flight", "calls_per_second")
    return isinstance(error, errors.LimitExceededError) and error.limit in at_once


def _read_details(data: bytes, facts: _Facts) -> None:
    """Takes from the details of a status what is known; the rest is somebody else's."""
    try:
        details = status_pb2.Status.FromString(data).details
    except DecodeError:
        return
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    conflict = errors_pb2.HookConflict()
    for detail in details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            if info.domain == DOMAIN:
                facts.reason = info.reason
                facts.metadata = dict(info.metadata)
        elif detail.Is(request.DESCRIPTOR):
            detail.Unpack(request)
            facts.violations = _violations(request.field_violations)
        elif detail.Is(conflict.DESCRIPTOR):
            detail.Unpack(conflict)
            facts.conflict = conflict


def _violations(
    found: Iterable[error_details_pb2.BadRequest.FieldViolation],
) -> tuple[errors.FieldViolation, ...]:
    return tuple(errors.FieldViolation(v.field, v.description) for v in found)


def _error(facts: _Facts) -> errors.HookdError:
    """Chooses the type by the reason and, without one, by the gRPC code."""
    message, metadata = facts.message or None, facts.metadata
    run_id = metadata.get("run_id", "")
    match facts.reason:
        case "HOOK_CONFLICT":
            return _conflict(facts)
        case "HOOK_NOT_FOUND":
            return errors.HookNotFoundError(
                metadata.get("token"),
                run_id=metadata.get("run_id"),
                hook_id=metadata.get("hook_id"),
                message=message,
                metadata=metadata,
            )
        case "RUN_NOT_FOUND":
            return errors.RunNotFoundError(run_id, message=message, metadata=metadata)
        case "RUN_EXISTS":
            return errors.RunExistsError(run_id, message=message, metadata=metadata)
        case "RUN_NOT_ACTIVE":
            status = _status_word(metadata.get("status", ""))
            return errors.RunNotActiveError(run_id, status, message=message, metadata=metadata)
        case "ID_REUSED":
            return errors.IdReusedError(facts.message, metadata=metadata)
        case "INVALID_ARGUMENT":
            return errors.InvalidArgumentError(
                facts.message, violations=facts.violations, metadata=metadata
            )
        case "LIMIT_EXCEEDED":
            return errors.LimitExceededError(facts.message, metadata=metadata)
        case "UNAUTHENTICATED":
            return errors.UnauthenticatedError(facts.message, metadata=metadata)
        case "PERMISSION_DENIED":
            return errors.PermissionDeniedError(facts.message, metadata=metadata)
        case "STORE_UNAVAILABLE":
            return errors.UnavailableError(facts.message, reason=facts.reason, metadata=metadata)
        case "":
            return _plain(facts)
        case reason:
            return errors.HookdError(facts.message, reason=reason, metadata=metadata)


def _conflict(facts: _Facts) -> errors.HookConflictError:
    owner = facts.conflict
    if owner is None:
        return errors.HookConflictError(
            facts.metadata.get("token", ""),
            facts.metadata.get("run_id", ""),
            message=facts.message or None,
            metadata=facts.metadata,
        )
    return errors.HookConflictError(
        owner.token,
        owner.run_id,
        hook_id=owner.hook_id,
        run_status=run_status(owner.run_status),
        workflow=owner.workflow,
        claimed_at=timestamp(owner.claimed_at) if owner.HasField("claimed_at") else None,
        revision=owner.revision,
        message=facts.message or None,
        metadata=facts.metadata,
    )


def _plain(facts: _Facts) -> errors.HookdError:
    """Makes the exception for a status that gRPC, or something between, made by itself."""
    message = facts.message or facts.code.name
    match facts.code:
        case grpc.StatusCode.UNAVAILABLE:
            return errors.UnavailableError(message)
        case grpc.StatusCode.CANCELLED:
            # Nobody here cancelled: the server did, because it goes down.
            return errors.UnavailableError(message, reason="CANCELLED")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceededError(message)
        case grpc.StatusCode.INVALID_ARGUMENT:
            return errors.InvalidArgumentError(message, violations=facts.violations)
        case grpc.StatusCode.UNAUTHENTICATED:
            return errors.UnauthenticatedError(message)
        case grpc.StatusCode.PERMISSION_DENIED:
            return errors.PermissionDeniedError(message)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return errors.LimitExceededError(message, reason=facts.code.name)
        case _:
            return errors.HookdError(message, reason=facts.code.name)


def _status_word(word: str) -> RunStatus:
    try:
        return RunStatus(word.removeprefix("RUN_STATUS_").lower())
    except ValueError:
        return RunStatus.UNKNOWN
