"""How what the protos name is called in JSON."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

PAYLOAD = "hookd.v1.Payload"
TIMESTAMP = "google.protobuf.Timestamp"
DURATION = "google.protobuf.Duration"
#: An item's error in a batch, which looks as the error of a call does.
ERROR = "hookd.v1.Error"

#: The media type of a payload that is written as it is, if nothing else is said.
JSON = "application/json"
#: Beside a payload ``x``: its media type, if it is another kind of JSON; and
#: the payload itself, if it is no JSON.
CONTENT_TYPE, RAW = "_content_type", "_raw"

_WHOLE = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def is_json(content_type: str) -> bool:
    """Whether a media type says that something is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == JSON or (kind.count("/") == 1 and kind.endswith("+json"))


def kind_of(field: FieldDescriptor) -> str:
    """The full name of the message that a field holds; empty if it holds none."""
    return "" if field.message_type is None else field.message_type.full_name


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field maps names to texts, as all maps of the API do."""
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def bounds(field: FieldDescriptor) -> tuple[int, int] | None:
    """The least and the greatest whole number of a field; None if it holds none."""
    return _WHOLE.get(field.type)


@cache
def enum_names(enum: EnumDescriptor) -> dict[int, str]:
    """The values of an enum by number: in lower case, without the prefix they share.

    The value that stands for none is not among them: such a field is left out.
    """
    prefix = "".join(f"_{c}" if c.isupper() else c for c in enum.name).lstrip("_").upper() + "_"
    names = {v.number: v.name.removeprefix(prefix).lower() for v in enum.values}
    del names[0]
    return names


@cache
def enum_numbers(enum: EnumDescriptor) -> dict[str, int]:
    """The same the other way round."""
    return {name: number for number, name in enum_names(enum).items()}


@cache
def fields_of(message: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message, in the order of the proto."""
    return tuple(message.fields)
