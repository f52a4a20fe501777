"""Values: what users send and receive, and how it becomes bytes.

A value travels as JSON: what ``pydantic_core.to_json`` takes (dataclasses,
pydantic models, datetime, Decimal, UUID, enums, …) can be sent, and arrives
as plain JSON values. ``bytes`` travel as they are, as
``application/octet-stream``, and arrive as ``bytes``; inside a JSON value
they become URL-safe base 64 text. A Payload carries bytes of any other media
type, and is what arrives for a media type that is neither.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from hookd.errors import InvalidArgumentError
from hookd.v1 import common_pb2
from hookd.webhook_request import WebhookRequest, payload_of

JSON = "application/json"
BYTES = "application/octet-stream"
MAX_BYTES = 15 * 1024 * 1024
"""What fits into a message, whatever else is in it; daemons take less, usually 4 MiB."""


# Not a dataclass on purpose: one inside a JSON value must be refused, and not
# be taken apart into its fields.
class Payload:
    """Bytes with a media type, carried as they are.

    Attributes:
        data: The bytes.
        content_type: What they are, as a media type.
    """

    __slots__ = ("content_type", "data")

    data: bytes
    content_type: str

    def __init__(self, data: bytes, content_type: str = BYTES) -> None:
        self.data = data
        self.content_type = content_type

    def json(self) -> Any:
        """Reads the bytes as JSON."""
        return from_json(self.data)

    def text(self) -> str:
        """Reads the bytes as UTF-8 text."""
        return self.data.decode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Payload):
            return NotImplemented
        return self.data == other.data and self.content_type == other.content_type

    def __hash__(self) -> int:
        return hash((self.data, self.content_type))

    def __repr__(self) -> str:
        return f"Payload(<{len(self.data)} bytes>, {self.content_type!r})"


def encode(value: object, argument: str) -> common_pb2.Payload:
    """Makes of a value what the wire carries.

    Args:
        value: The value.
        argument: What the user calls it, for the error.

    Raises:
        InvalidArgumentError: The value cannot be carried.
    """
    if isinstance(value, Payload):
        payload = _raw(value, argument)
    elif isinstance(value, WebhookRequest):
        payload = payload_of(value)
    elif isinstance(value, bytes | bytearray | memoryview):
        payload = common_pb2.Payload(content_type=BYTES, data=bytes(value))
    else:
        payload = common_pb2.Payload(content_type=JSON, data=_json(value, argument))
    if len(payload.data) > MAX_BYTES:
        raise InvalidArgumentError.of(
            argument, f"must be at most {MAX_BYTES} bytes, has {len(payload.data)}"
        )
    return payload


def _json(value: object, argument: str) -> bytes:
    try:
        data = to_json(value, bytes_mode="base64")
        if b"NaN" in data or b"Infinity" in data:
            # Either a text that says so, or a number that JSON does not have.
            from_json(data, allow_inf_nan=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise InvalidArgumentError.of(
            argument,
            f"a value of type {type(value).__qualname__} cannot be carried as JSON: {error}",
        ) from None
    return data


def decode(payload: common_pb2.Payload) -> Any:
    """Gives the value that came over the wire.

    Bytes that say they are JSON and are not come as a Payload: they are
    another program's mistake, and must not keep this one from the next.
    """
    kind = payload.content_type.partition(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        try:
            return from_json(payload.data)
        except ValueError:
            return Payload(payload.data, payload.content_type)
    if kind == BYTES:
        return payload.data
    if not kind and not payload.data:
        return None
    return Payload(payload.data, payload.content_type)


def _raw(value: Payload, argument: str) -> common_pb2.Payload:
    if not isinstance(value.data, bytes | bytearray | memoryview):
        kind = type(value.data).__qualname__
        raise InvalidArgumentError.of(argument, f"the data of a Payload must be bytes, not {kind}")
    if not isinstance(value.content_type, str):
        kind = type(value.content_type).__qualname__
        raise InvalidArgumentError.of(
            argument, f"the content_type of a Payload must be text, not {kind}"
        )
    return common_pb2.Payload(content_type=value.content_type, data=bytes(value.data))
