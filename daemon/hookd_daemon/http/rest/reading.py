"""Makes messages of JSON, and says where it is wrong."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from hookd_daemon.errors import InvalidArgumentError
from hookd_daemon.http.rest import naming
from hookd_daemon.http.rest.text import BODY, dump, joined
from hookd_daemon.values import shorten

_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNIT_NANOS = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}
_PART = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?(ms|s|m|h|d|w)", re.ASCII)
#: A duration as text.
DURATION_TEXT = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
# About 10,000 years, which is what the message can hold.
_MOST_SECONDS = 315_576_000_000


def read(value: Any, message: Message, path: str = "", allowed: Collection[str] = ()) -> None:
    """Fills a message from a JSON object.

    Args:
        value: as ``text.load`` gives it.
        message: to be filled; what is not in the object stays as it is.
        path: of the object, for errors.
        allowed: the fields that may be there; all if empty.

    Raises:
        InvalidArgumentError: something is wrong; names the field.
    """
    if not isinstance(value, dict):
        raise _wrong(path or BODY, "an object", value)
    descriptor = cast("Descriptor", message.DESCRIPTOR)
    known = _readers(descriptor)
    for name, item in value.items():
        reader = known.get(name)
        if reader is None or (allowed and reader[0].name not in allowed):
            raise InvalidArgumentError(joined(path, name), _unknown(name, known, allowed))
        field, fill = reader
        _check_alone(message, field, joined(path, name))
        fill(message, field, item, joined(path, name))
    _check_payloads(value, descriptor, path)


_Reader = Callable[[Any, FieldDescriptor, Any, str], None]
_known: dict[Descriptor, dict[str, tuple[FieldDescriptor, _Reader]]] = {}


def _readers(descriptor: Descriptor) -> dict[str, tuple[FieldDescriptor, _Reader]]:
    """What reads the names that an object may have."""
    if descriptor not in _known:
        found: dict[str, tuple[FieldDescriptor, _Reader]] = {}
        for field in naming.fields_of(descriptor):
            if naming.kind_of(field) == naming.PAYLOAD:
                found[field.name] = (field, _payload)
                found[field.name + naming.CONTENT_TYPE] = (field, _payload_type)
                found[field.name + naming.RAW] = (field, _raw_payload)
            else:
                found[field.name] = (field, _field)
        _known[descriptor] = found
    return _known[descriptor]


def _unknown(name: str, known: Mapping[str, Any], allowed: Collection[str]) -> str:
    if name == "project":
        return "goes into the query: ?project=…"
    names = [n for n, (field, _) in known.items() if not allowed or field.name in allowed]
    if not names:
        return "is unknown; nothing is expected here"
    return f"is unknown; known are {', '.join(n for n in names if n != 'project')}"


def _check_alone(message: Message, field: FieldDescriptor, path: str) -> None:
    one_of = field.containing_oneof
    if one_of is None or naming.kind_of(field) == naming.PAYLOAD:
        return
    other = message.WhichOneof(one_of.name)
    if other is not None and other != field.name:
        raise InvalidArgumentError(path, f"goes only without {other}")


def _check_payloads(value: dict[str, Any], descriptor: Descriptor, path: str) -> None:
    for field in naming.fields_of(descriptor):
        if naming.kind_of(field) != naming.PAYLOAD:
            continue
        name, kind, raw = field.name, field.name + naming.CONTENT_TYPE, field.name + naming.RAW
        if raw in value and (name in value or kind in value):
            raise InvalidArgumentError(joined(path, raw), f"goes only without {name}")
        if kind in value and name not in value:
            raise InvalidArgumentError(joined(path, kind), f"goes only with {name}")


def _payload(message: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    payload = getattr(message, field.name)
    payload.data = dump(value).encode()
    if not payload.content_type:
        payload.content_type = naming.JSON


def _payload_type(message: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise _wrong(path, "a text", value)
    if not naming.is_json(value):
        raise InvalidArgumentError(
            path, f"must be a media type of JSON; for others there is {field.name}{naming.RAW}"
        )
    getattr(message, field.name).content_type = value


def _raw_payload(message: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    payload = getattr(message, field.name)
    payload.SetInParent()
    read(value, payload, path)


def _field(message: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    if naming.is_map(field):
        if not isinstance(value, dict):
            raise _wrong(path, "an object", value)
        target = getattr(message, field.name)
        for key, item in value.items():
            if not isinstance(item, str):
                raise _wrong(joined(path, key), "a text", item)
            target[key] = item
    elif field.is_repeated:
        if not isinstance(value, list):
            raise _wrong(path, "an array", value)
        target = getattr(message, field.name)
        for place, item in enumerate(value):
            where = f"{path}[{place}]"
            if field.message_type is None:
                target.append(_scalar(field, item, where))
            else:
                _message(field, target.add(), item, where)
    elif field.message_type is not None:
        target = getattr(message, field.name)
        target.SetInParent()
        _message(field, target, value, path)
    else:
        setattr(message, field.name, _scalar(field, value, path))


def _message(field: FieldDescriptor, target: Any, value: Any, path: str) -> None:
    kind = naming.kind_of(field)
    if kind == naming.TIMESTAMP:
        _time(target, value, path)
    elif kind == naming.DURATION:
        _duration(target, value, path)
    else:
        read(value, target, path)


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    limits = naming.bounds(field)
    if limits is not None:
        return _whole(value, path, *limits)
    if field.enum_type is not None:
        numbers = naming.enum_numbers(field.enum_type)
        number = numbers.get(value) if isinstance(value, str) else None
        if number is None:
            raise _wrong(path, f"one of {', '.join(numbers)}", value)
        return number
    if field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise _wrong(path, "true or false", value)
        return value
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(path, "a number", value)
        return float(value)
    if not isinstance(value, str):
        kind = "a text" if field.type == FieldDescriptor.TYPE_STRING else "a text in base64"
        raise _wrong(path, kind, value)
    if field.type == FieldDescriptor.TYPE_STRING:
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(path, "a text in base64, with its padding", value) from None


def _whole(value: Any, path: str, low: int, high: int) -> int:
    whole = value
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        whole = int(value)  # 1.0 and 1 are one number in JSON
    if isinstance(whole, bool) or not isinstance(whole, int) or not low <= whole <= high:
        raise _wrong(path, f"a whole number from {low} to {high}", value)
    return whole


def _time(target: Timestamp, value: Any, path: str) -> None:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong(path, "a time as 2026-01-31T12:00:00Z", value)
    day, clock, fraction, zone = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}") - _EPOCH
    except (ValueError, OverflowError):
        raise _wrong(path, "a time as 2026-01-31T12:00:00Z", value) from None
    seconds = whole // timedelta(seconds=1)
    if not -62_135_596_800 <= seconds < 253_402_300_800:
        raise _wrong(path, "a time from the years 1 to 9999", value)
    target.seconds, target.nanos = seconds, int((fraction or "0").ljust(9, "0"))


def _duration(target: Duration, value: Any, path: str) -> None:
    if isinstance(value, str) and len(value) <= 128 and DURATION_TEXT.fullmatch(value):
        nanos = sum(
            int(whole) * _UNIT_NANOS[unit]
            + int((fraction or "0").ljust(9, "0")) * _UNIT_NANOS[unit] // 10**9
            for whole, fraction, unit in _PART.findall(value)
        )
    elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        nanos = round(value * 10**9) if value <= _MOST_SECONDS else -1
    else:
        nanos = -1
    if not 0 <= nanos <= _MOST_SECONDS * 10**9 or math.isnan(nanos):
        raise _wrong(path, 'a duration as "1.5s" or "1h30m", or a number of seconds', value)
    target.seconds, target.nanos = divmod(nanos, 10**9)


def _wrong(path: str, wanted: str, value: Any) -> InvalidArgumentError:
    return InvalidArgumentError(path, f"must be {wanted}; it is {_shown(value)}")


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return shorten(value) if isinstance(value, str) else shorten(value).strip("'")


def read_text(message: Message, field: FieldDescriptor, values: list[str], path: str) -> None:
    """Fills a field from what stands in a path or a query.

    Args:
        message: to be filled.
        field: one of its fields.
        values: what was given; several only for a field that is repeated.
        path: what it is called there, for errors.

    Raises:
        InvalidArgumentError: something is wrong.
    """
    if not field.is_repeated and len(values) > 1:
        raise InvalidArgumentError(path, f"must be given once; it is given {len(values)} times")
    meant = [_meant(field, value) for value in values]
    _field(message, field, meant if field.is_repeated else meant[0], path)


def _meant(field: FieldDescriptor, value: str) -> Any:
    if naming.bounds(field) is not None and _NUMBER.fullmatch(value):
        return int(value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(value, value)
    if naming.kind_of(field) == naming.DURATION and _DECIMAL.fullmatch(value):
        return float(value)
    return value
