"""What every command of hookctl gets: the client and where to print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from hookd.errors import InvalidArgumentError

if TYPE_CHECKING:
    from hookd.cli.output import Output
    from hookd.client import Client

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Context:
    """The client and where to print."""

    client: Client
    output: Output


def duration(text: str, option: str) -> float:
    """Reads a duration: "30", "500ms", "1h30m"; gives seconds."""
    if _NUMBER.fullmatch(text):
        return float(text)
    if text and not _PART.sub("", text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    raise InvalidArgumentError.of(
        option, f"must be a duration such as 30, 500ms or 1h30m, not {text!r}"
    )


def json_value(text: str, argument: str) -> Any:
    """Reads a JSON value."""
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidArgumentError.of(argument, f"must be JSON: {error}") from None
