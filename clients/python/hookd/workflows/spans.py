"""Durations and points in time, as workflow code writes them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.protobuf import duration_pb2, timestamp_pb2

from hookd.durations import Seconds, seconds
from hookd.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

Span = Seconds | str
"""A duration: seconds, a timedelta, or text as "1h30m", "500ms", "2 days"."""


def _units(size: float, words: str) -> Iterable[tuple[str, float]]:
    return ((word, size) for word in words.split())


_UNITS = dict(
    [
        *_units(0.001, "ms msec msecs millisecond milliseconds"),
        *_units(1, "s sec secs second seconds"),
        *_units(60, "m min mins minute minutes"),
        *_units(3_600, "h hr hrs hour hours"),
        *_units(86_400, "d day days"),
        *_units(604_800, "w week weeks"),
    ]
)
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.ASCII)


def span_seconds(value: Span, field: str) -> float:
    """Gives a duration in seconds.

    Raises:
        InvalidArgumentError: It is no duration, or negative, or without end.
    """
    if not isinstance(value, str):
        return seconds(value, field)
    text = value.strip().lower()
    total, at = 0.0, 0
    while part := _PART.match(text, at):
        if part[2] not in _UNITS:
            break
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at != len(text) or not text:
        raise InvalidArgumentError.of(
            field, f'must be a duration like "1h30m", "500ms" or "2 days", not {value!r}'
        )
    return seconds(total, field)


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
