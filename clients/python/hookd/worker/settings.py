"""How much a worker takes on, and how long it waits."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from hookd import validate
from hookd.durations import Seconds, seconds
from hookd.errors import InvalidArgumentError

_MOST_NAME_BYTES = 256
_MOST_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a worker, checked."""

    name: str
    max_turns: int
    max_steps: int
    max_cached_runs: int
    turn_timeout: float
    step_grace: float


def settings(
    *,
    name: str | None,
    max_turns: int,
    max_steps: int,
    max_cached_runs: int,
    turn_timeout: Seconds,
    step_grace: Seconds,
) -> Settings:
    """Checks the settings that a user gives.

    Raises:
        InvalidArgumentError: One is out of range.
    """
    here = f"{socket.gethostname()}:{os.getpid()}"
    shown = here if name is None else validate.name(name, "name")
    if len(shown.encode()) > _MOST_NAME_BYTES:
        raise InvalidArgumentError.of("name", f"must be at most {_MOST_NAME_BYTES} bytes of UTF-8")
    timeout = seconds(turn_timeout, "turn_timeout")
    if timeout <= 0:
        raise InvalidArgumentError.of("turn_timeout", "must be more than 0 seconds")
    return Settings(
        name=shown,
        max_turns=_whole(max_turns, "max_turns", 1, _MOST_AT_ONCE),
        max_steps=_whole(max_steps, "max_steps", 1, _MOST_AT_ONCE),
        max_cached_runs=_whole(max_cached_runs, "max_cached_runs", 0, None),
        turn_timeout=timeout,
        step_grace=seconds(step_grace, "step_grace"),
    )


def _whole(value: int, field: str, least: int, most: int | None) -> int:
    number = validate.whole(value, field)
    if number < least or (most is not None and number > most):
        upper = "" if most is None else f" and at most {most}"
        raise InvalidArgumentError.of(field, f"must be at least {least}{upper}, not {number}")
    return number
