"""Durations and points in time, as a workflow sends them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from google.protobuf import duration_pb2, timestamp_pb2

from hookd.errors import InvalidArgumentError


def wire_duration(value: float) -> duration_pb2.Duration:
    """Gives seconds as the wire carries them, in whole milliseconds and rounded up.

    A timer must not fire before its time, and the daemon counts milliseconds.
    """
    duration = duration_pb2.Duration()
    # A little more than a millisecond because of binary fractions is none.
    duration.FromMilliseconds(math.ceil(round(value * 1000, 3)))
    return duration


def wire_time(value: datetime, field: str) -> timestamp_pb2.Timestamp:
    """Gives a point in time as the wire carries it.

    Raises:
        InvalidArgumentError: It names no time zone.
    """
    if value.utcoffset() is None:
        raise InvalidArgumentError.of(
            field,
            "must be a datetime with a time zone, this one has none: "
            "use hookd.now() + timedelta(…), or datetime(…, tzinfo=…)",
        )
    stamp = timestamp_pb2.Timestamp()
    utc = value.astimezone(UTC)
    stamp.FromDatetime(utc)
    whole = -(-stamp.nanos // 1_000_000) * 1_000_000
    stamp.nanos = whole % 1_000_000_000
    stamp.seconds += whole // 1_000_000_000
    return stamp
