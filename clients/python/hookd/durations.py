"""Durations as users write them, and as the wire carries them."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from google.protobuf import duration_pb2

from hookd.errors import InvalidArgumentError

Seconds = int | float | timedelta | str
"""A duration: a number of seconds, a timedelta, or text such as "1h30m", "500ms", "2 days"."""

# What a protobuf Duration can hold, about 10,000 years.
_MOST_SECONDS = 315_576_000_000

_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Every unit at most once, the greatest first.
_TEXT = re.compile(
    r"\s*".join(
        rf"(?:(?P<{unit}>[0-9]+(?:\.[0-9]+)?)\s*(?:{words}))?"
        for unit, words in {
            "w": "w|weeks?",
            "d": "d|days?",
            "h": "h|hours?",
            "m": "m(?!s)|min|minutes?",
            "s": "s|sec|seconds?",
            "ms": "ms|milliseconds?",
        }.items()
    )
)


def seconds(value: Seconds, field: str) -> float:
    """Gives a duration in seconds.

    Raises:
        InvalidArgumentError: It is no duration, or negative, or without end.
    """
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, str):
        result = _from_text(value, field)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentError.of(
            field,
            f'must be seconds, a timedelta or text such as "1h30m", not {type(value).__qualname__}',
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


def _from_text(text: str, field: str) -> float:
    found = _TEXT.fullmatch(text.strip().lower())
    parts = {} if found is None else found.groupdict()
    given = [float(number) * _UNITS[unit] for unit, number in parts.items() if number is not None]
    if not given:
        raise InvalidArgumentError.of(
            field, f'must be a duration such as "90s", "1h30m" or "2d", not {text!r}'
        )
    return math.fsum(given)
