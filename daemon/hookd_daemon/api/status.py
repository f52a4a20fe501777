"""Errors as callers see them: a gRPC status with typed details, or an item of a batch."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hookd.v1.errors_pb2 import Error

from hookd_daemon.errors import (
    HookConflictError,
    HookdError,
    InvalidArgumentError,
    LimitExceededError,
)

#: The domain of every ``google.rpc.ErrorInfo`` of hookd.
DOMAIN = "hookd"


def to_status(error: HookdError) -> Status:
    """An error as the status of a call, with its details."""
    status = Status(code=int(error.code), message=error.message)
    details = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    _pack(status, details[0])
    if isinstance(error, HookConflictError):
        _pack(status, error.conflict.detail)
    if isinstance(error, InvalidArgumentError):
        bad = BadRequest()
        bad.field_violations.add(field=error.field, description=error.description)
        _pack(status, bad)
    if isinstance(error, LimitExceededError) and error.retry_ms:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(error.retry_ms)
        _pack(status, retry)
    return status


def _pack(status: Status, detail: object) -> None:
    packed = AnyMessage()
    packed.Pack(detail)  # type: ignore[arg-type]
    status.details.append(packed)


def fill_error(message: Error, error: HookdError) -> None:
    """Writes an error into an item of a batch."""
    message.code = int(error.code)
    message.reason = error.reason_number
    message.message = error.message
    message.metadata.update(error.metadata)
    if isinstance(error, HookConflictError):
        message.conflict.CopyFrom(error.conflict.detail)
