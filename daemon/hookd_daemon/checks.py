"""What the values of settings must be; a ``ValueError`` says what one looks like."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BeforeValidator

from hookd_daemon.values import parse_address, parse_base_url, parse_duration_ms

_HUNDRED_YEARS_MS = 36_500 * 86_400_000


def whole(low: int, high: int) -> BeforeValidator:
    """Whole numbers from one to another, which are named when one is refused."""

    def check(value: object) -> int:
        try:
            # TOML's `true` is an int to Python, but not to whoever wrote it.
            number = -1 if isinstance(value, bool | float) else int(str(value).strip())
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return BeforeValidator(check)


def choice(*choices: str) -> BeforeValidator:
    """One of some words."""

    def check(value: object) -> str:
        text = str(value).strip().lower()
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return BeforeValidator(check)


def flag(value: object) -> bool:
    """True or false, in the words people use."""
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    text = str(value).strip().lower()
    if text not in words:
        raise ValueError("must be true or false")
    return words[text]


def path(value: object) -> Path:
    """A path."""
    text = str(value)
    if not isinstance(value, str | Path) or not text or "\0" in text:
        raise ValueError("must be a path")
    return Path(text)


def retention(value: object) -> str:
    """How long an ended run is kept, as it is written."""
    text = str(value).strip().lower()
    retention_ms(text)
    return text


def retention_ms(value: str) -> int | None:
    """How long an ended run is kept, in milliseconds: 0 to remove it at once, None to keep it."""
    if value == "keep":
        return None
    if value == "drop":
        return 0
    try:
        milliseconds = parse_duration_ms(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "keep", or "drop"') from None
    if milliseconds > _HUNDRED_YEARS_MS:
        raise ValueError('must be at most 36500d, or "keep"')
    return milliseconds


def seconds(low: float, high: float) -> BeforeValidator:
    """A duration from one to another, in seconds."""

    def check(value: object) -> float:
        seconds = parse_duration_ms(value) / 1000
        if not low <= seconds <= high:
            raise ValueError(f"must be from {low:g} to {high:g} seconds")
        return seconds

    return BeforeValidator(check)


def never_or_seconds(low: float, high: float) -> BeforeValidator:
    """A duration in seconds, or None for never."""

    def check(value: object) -> float | None:
        if value is None or str(value).strip().lower() == "never":
            return None
        try:
            seconds = parse_duration_ms(value) / 1000
        except ValueError as error:
            raise ValueError(f'{error}, or "never"') from None
        if not low <= seconds <= high:
            raise ValueError(f'must be from {low:g} to {high:g} seconds, or "never"')
        return seconds

    return BeforeValidator(check)


def listen(value: object) -> str:
    """An address to listen on."""
    return str(parse_address(value))


def http(value: object) -> str | None:
    """An address to listen on, or None for none."""
    return None if value is None or value == "" else listen(value)


def public_url(value: object) -> str | None:
    """What URLs begin with; None for the address itself."""
    return None if value is None or value == "" else parse_base_url(value)


def open_descriptor(value: object) -> int:
    """The number of a file descriptor that is open."""
    descriptor = int(str(value)) if str(value).strip().isdecimal() else -1
    try:
        os.fstat(descriptor)
    except (OSError, OverflowError):
        raise ValueError("must be the number of an open file descriptor") from None
    return descriptor
