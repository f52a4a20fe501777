"""Reads the bytes of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from hookd_daemon.errors import InvalidArgumentError

M = TypeVar("M", bound=Message)


def parser(message: type[M]) -> Callable[[bytes], M]:
    """Reads bytes as a message.

    Raises (the function):
        InvalidArgumentError: they are none.
    """
    name = message.DESCRIPTOR.full_name

    def parse(data: bytes) -> M:
        try:
            return message.FromString(data)
        except DecodeError:
            raise InvalidArgumentError(
                "request",
                f"{len(data)} bytes are not a {name}; strings must be valid UTF-8",
            ) from None

    return parse
