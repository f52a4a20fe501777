"""What is refused before anything is done: each check names field, limit and size."""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.common_pb2 import RUN_STATUS_UNSPECIFIED, Failure, Payload, RunStatus

from hookd_daemon.errors import InvalidArgumentError

DEFAULT_PROJECT = "default"
MAX_ID = 128
MAX_PAYLOAD_ID_BYTES = 256
MAX_WORKFLOW_BYTES = 256
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 64 * 1024
MAX_CONTENT_TYPE_BYTES = 256
MAX_TEXT_BYTES = 4096
MAX_FAILURE_TYPE_BYTES = 256
MAX_FAILURE_MESSAGE_BYTES = 64 * 1024
MAX_BATCH = 1024
MAX_CLAIMS = 64
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_NAME_BYTES = 128
MAX_ATTRIBUTE_VALUE_BYTES = 1024
MAX_PAGE = 1000
#: Ten years: longer is a mistake in the unit.
MAX_DURATION_MS = 10 * 365 * 24 * 3600 * 1000
MAX_WAIT_MS = 5 * 60 * 1000
MIN_LEASE_MS = 100
MAX_LEASE_MS = 24 * 3600 * 1000

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[!-~]{1,128}")


def project(value: str) -> str:
    """The project of a request; ``default`` when none is named."""
    if not value:
        return DEFAULT_PROJECT
    if not _PROJECT.fullmatch(value):
        raise InvalidArgumentError(
            "project",
            "must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or a "
            f"digit; it is {len(value)} characters long",
        )
    return value


def identifier(field: str, value: str) -> str:
    """An id that the caller has chosen: 1 to 128 visible ASCII characters."""
    if not _ID.fullmatch(value):
        raise InvalidArgumentError(
            field,
            f"must be 1 to {MAX_ID} visible ASCII characters; it is {len(value)} characters long",
        )
    return value


def text(field: str, value: str, limit: int, *, least: int = 0) -> str:
    """A text of limited size, in bytes of UTF-8."""
    size = len(value.encode())
    if not least <= size <= limit:
        raise InvalidArgumentError(field, f"must be {least} to {limit} bytes; it is {size}")
    return value


def token(field: str, value: str, limit: int) -> str:
    """A token: 1 to ``limit`` bytes of UTF-8, any characters."""
    size = len(value) if value.isascii() else len(value.encode())
    if not 1 <= size <= limit:
        raise InvalidArgumentError(field, f"must be 1 to {limit} bytes of UTF-8; it is {size}")
    return value


def payload(field: str, value: Payload, limit: int = MAX_PAYLOAD_BYTES) -> Payload:
    """A payload of limited size."""
    if len(value.data) > limit:
        raise InvalidArgumentError(
            f"{field}.data", f"must be at most {limit} bytes; it is {len(value.data)}"
        )
    if value.content_type:
        text(f"{field}.content_type", value.content_type, MAX_CONTENT_TYPE_BYTES)
    return value


def failure(field: str, value: Failure) -> Failure:
    """An error of limited size."""
    text(f"{field}.type", value.type, MAX_FAILURE_TYPE_BYTES)
    text(f"{field}.message", value.message, MAX_FAILURE_MESSAGE_BYTES)
    payload(f"{field}.details", value.details)
    return value


def attributes(field: str, value: Mapping[str, str]) -> None:
    """Attributes of a run: so many, with names and values of limited size."""
    count(field, len(value), MAX_ATTRIBUTES)
    for name, content in value.items():
        text(field, name, MAX_ATTRIBUTE_NAME_BYTES, least=1)
        text(field, content, MAX_ATTRIBUTE_VALUE_BYTES)


def duration_ms(field: str, value: Duration, low: int, high: int) -> int:
    """A duration in milliseconds, within bounds."""
    milliseconds = value.seconds * 1000 + value.nanos // 1_000_000
    mixed = (value.seconds > 0 > value.nanos) or (value.seconds < 0 < value.nanos)
    if mixed or abs(value.nanos) >= 1_000_000_000 or not low <= milliseconds <= high:
        raise InvalidArgumentError(
            field,
            f"must be {low / 1000:g} s to {high / 1000:g} s; "
            f"it is {value.seconds} s and {value.nanos} ns",
        )
    return milliseconds


def wait_seconds(value: Duration) -> float:
    """How long a call is to wait, in seconds."""
    return duration_ms("wait", value, 0, MAX_WAIT_MS) / 1000


def timestamp_ms(field: str, value: Timestamp) -> int:
    """A time in milliseconds since 1970."""
    if not 0 <= value.seconds < 253_402_300_800 or not 0 <= value.nanos < 1_000_000_000:
        raise InvalidArgumentError(
            field, f"must be a time from 1970 to 9999; it is {value.seconds} s and {value.nanos} ns"
        )
    return value.seconds * 1000 + value.nanos // 1_000_000


def page_size(value: int, usual: int) -> int:
    """How many items a page has."""
    if not 0 <= value <= MAX_PAGE:
        raise InvalidArgumentError("page_size", f"must be 0 to {MAX_PAGE}; it is {value}")
    return value or usual


def count(field: str, value: int, limit: int, *, least: int = 0) -> None:
    """The number of items of a list."""
    if not least <= value <= limit:
        raise InvalidArgumentError(field, f"must have {least} to {limit} items; it has {value}")


def status(field: str, value: RunStatus.ValueType) -> RunStatus.ValueType:
    """A run status that there is, and is not UNSPECIFIED."""
    if value not in RunStatus.values() or value == RUN_STATUS_UNSPECIFIED:
        raise InvalidArgumentError(field, f"{value} is not a run status")
    return value
