"""Durations as users write them, and as the wire carries them."""

from __future__ import annotations

import math
from datetime import timedelta

from google.protobuf import duration_pb2

from hookd.errors import InvalidArgumentError

Seconds = int | float | timedelta
"""A duration: a number of seconds, or a timedelta."""

# What a protobuf Duration can hold, about 10,000 years.
_MOST_SECONDS = 315_576_000_000


def seconds(value: Seconds, field: str) -> float:
    """Gives a duration in seconds.

    Raises:
        InvalidArgumentError: It is no duration, or negative, or without end.
    """
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentError.of(
            field, f"must be seconds or a timedelta, not {type(value).__qualname__}"
        )
    else:
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
    if not 0 <= result <= _MOST_SECONDS:
        raise InvalidArgumentError.of(field, f"must be 0 or more seconds, not {value!r}")
    return result


def duration(value: Seconds, field: str) -> duration_pb2.Duration:
    """Gives a duration as the wire carries it."""
    whole, fraction = divmod(seconds(value, field), 1)
    # Rounding up to a whole second must carry over.
    nanos = round(fraction * 1e9)
    return duration_pb2.Duration(
        seconds=int(whole) + nanos // 1_000_000_000, nanos=nanos % 1_000_000_000
    )
