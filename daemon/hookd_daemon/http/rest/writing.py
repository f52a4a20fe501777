"""Writes messages as JSON.

As text, and not as a tree: so a payload that is JSON is written as it came,
with all digits of its numbers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.common_pb2 import Payload
from hookd.v1.errors_pb2 import Error, ErrorReason

from hookd_daemon.errors import Code
from hookd_daemon.http.rest import naming
from hookd_daemon.http.rest.text import dump


def write(message: Message) -> str:
    """A message as a JSON object.

    Numbers, flags, lists and maps are always there; texts, enums and messages
    only if they are not empty.
    """
    parts: list[str] = []
    present = {field.name for field, _ in message.ListFields()}
    for field, always, add in _writers(cast("Descriptor", message.DESCRIPTOR)):
        if always or field.name in present:
            add(parts, field, getattr(message, field.name))
    return f"{{{','.join(parts)}}}"


_Writer = Callable[[list[str], FieldDescriptor, Any], None]
_known: dict[Descriptor, list[tuple[FieldDescriptor, bool, _Writer]]] = {}


def _writers(descriptor: Descriptor) -> list[tuple[FieldDescriptor, bool, _Writer]]:
    if descriptor not in _known:
        _known[descriptor] = [
            (
                field,
                always_there(field),
                _payload if naming.kind_of(field) == naming.PAYLOAD else _field,
            )
            for field in naming.fields_of(descriptor)
        ]
    return _known[descriptor]


def always_there(field: FieldDescriptor) -> bool:
    """Whether a field is written also when it has its default."""
    if field.is_repeated:
        return True
    counts = naming.bounds(field) is not None or field.type in {
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_DOUBLE,
    }
    return counts and not field.has_presence


def _field(parts: list[str], field: FieldDescriptor, value: Any) -> None:
    if naming.is_map(field):
        written = dump(dict(value))
    elif field.is_repeated:
        written = f"[{','.join(_value(field, item) for item in value)}]"
    else:
        written = _value(field, value)
    parts.append(f'"{field.name}":{written}')


def _payload(parts: list[str], field: FieldDescriptor, payload: Payload) -> None:
    text = _json_of(payload)
    if text is None:
        # What nobody has filled is left out.
        if payload.content_type or payload.data:
            parts.append(f'"{field.name}{naming.RAW}":{write(payload)}')
        return
    parts.append(f'"{field.name}":{text}')
    if payload.content_type != naming.JSON:
        parts.append(f'"{field.name}{naming.CONTENT_TYPE}":{dump(payload.content_type)}')


def _json_of(payload: Payload) -> str | None:
    """The text of a payload that is JSON; None if it is not, whatever it calls itself."""
    if not naming.is_json(payload.content_type):
        return None
    try:
        text = payload.data.decode()
        _STRICT.decode(text)
    except (ValueError, RecursionError):
        return None
    return text


def _no_constant(name: str) -> None:
    raise ValueError(name)


_STRICT = json.JSONDecoder(parse_constant=_no_constant)


def _value(field: FieldDescriptor, value: Any) -> str:
    kind = naming.kind_of(field)
    if kind == naming.TIMESTAMP:
        return f'"{_time(value)}"'
    if kind == naming.DURATION:
        return f'"{_duration(value)}"'
    if kind == naming.ERROR:
        return item_error(value)
    if kind:
        return write(value)
    if field.enum_type is not None:
        return dump(naming.enum_names(field.enum_type).get(value, value))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return f'"{base64.b64encode(value).decode()}"'
    return dump(value)


def _time(time: Timestamp) -> str:
    whole = datetime.fromtimestamp(time.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole.zfill(19)}{_fraction(time.nanos)}Z"


def _duration(duration: Duration) -> str:
    return f"{duration.seconds}{_fraction(duration.nanos)}s"


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    return f".{nanos:09}".rstrip("0") if nanos % 10**6 else f".{nanos // 10**6:03}"


def item_error(error: Error) -> str:
    """The error of an item of a batch, as that of a call is written."""
    facts: dict[str, Any] = {
        "code": Code(error.code).name,
        "reason": ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_"),
        "message": error.message,
        "metadata": dict(error.metadata),
    }
    if not error.HasField("conflict"):
        return dump(facts)
    return f'{dump(facts)[:-1]},"conflict":{write(error.conflict)}}}'
