"""What every command of hookctl gets: the client and where to print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from hookd.durations import seconds
from hookd.errors import InvalidArgumentError

if TYPE_CHECKING:
    from hookd.cli.output import Output
    from hookd.client import Client

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Context:
    """The client and where to print."""

    client: Client
    output: Output


def duration(text: str, option: str) -> float:
    """Reads a duration: "30", "500ms", "1h30m"; gives seconds."""
    return seconds(float(text) if _NUMBER.fullmatch(text) else text, option)


def json_value(text: str, argument: str) -> Any:
    """Reads a JSON value."""
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidArgumentError.of(argument, f"must be JSON: {error}") from None
