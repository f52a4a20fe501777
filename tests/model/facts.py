"""Answers as plain dictionaries, and how an expected one is held against a real one.

What the oracle cannot know (a revision, a generated token) it names by a
``Symbol``. The first real value that is seen in its place is bound to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

Facts = dict[str, Any]

#: An expected value that fits any other.
ANYTHING = object()

#: A token that the daemon makes: 128 bits, URL-safe.
GENERATED_CHARACTERS = 22


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A value that only the daemon knows.

    Attributes:
        kind: "revision" or "token".
        number: counts those of its kind in the order of their making.
    """

    kind: str
    number: int

    def __repr__(self) -> str:
        return f"<{self.kind} {self.number}>"


class AtLeast(Facts):
    """Expected facts beside which there may be others."""


@dataclass
class Bindings:
    """What a world has put in the place of each symbol.

    A revision is a fencing number: a later claim must have a greater one.
    """

    values: dict[Symbol, Any] = field(default_factory=dict)

    def fits(self, symbol: Symbol, value: Any) -> bool:
        """Whether a real value can be that of a symbol; binds it if it is the first."""
        if symbol in self.values:
            return bool(self.values[symbol] == value)
        if symbol.kind == "token":
            fits = isinstance(value, str) and len(value) >= GENERATED_CHARACTERS
            fits = fits and value not in self.values.values()
        else:
            same = [
                (other, known) for other, known in self.values.items() if other.kind == symbol.kind
            ]
            fits = isinstance(value, int) and value > 0
            fits = fits and all((other < symbol) == (known < value) for other, known in same)
        if fits:
            self.values[symbol] = value
        return fits

    def real(self, value: Any) -> Any:
        """A value with the symbols in it replaced."""
        return self.values[value] if isinstance(value, Symbol) else value

    def differences(self, expected: Any, actual: Any, where: str = "") -> list[str]:
        """What is not as it should be, a line for each."""
        if expected is ANYTHING:
            return []
        if isinstance(expected, Symbol):
            if self.fits(expected, actual):
                return []
            bound = self.values.get(expected, "unknown")
            return [f"{where}: expected {expected} ({bound}), got {actual!r}"]
        if isinstance(expected, dict) and isinstance(actual, dict):
            keys = list(expected)
            if not isinstance(expected, AtLeast):
                keys += [key for key in actual if key not in expected]
            return [
                line
                for key in keys
                for line in self.differences(expected.get(key), actual.get(key), f"{where}/{key}")
            ]
        if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
            return [
                line
                for i, pair in enumerate(zip(expected, actual, strict=True))
                for line in self.differences(*pair, f"{where}[{i}]")
            ]
        return [] if expected == actual else [f"{where}: expected {expected!r}, got {actual!r}"]


#: What the model does not know: where the daemon is, and what it was asked for.
UNKNOWN = frozenset({"project", "webhook_base_url"})


def facts(message: Message) -> Facts:
    """The fields of a message that are set, without those that say nothing.

    Times and durations are milliseconds, payloads are text, enums are words.
    """
    found: Facts = {}
    for descriptor, value in message.ListFields():
        plain = _plain(descriptor, value)
        if plain not in ({}, [], "", 0) and descriptor.name not in UNKNOWN:
            found[descriptor.name] = plain
    if message.DESCRIPTOR.full_name == "hookd.v1.Event":
        kind = message.WhichOneof("data")
        found["kind"], found["data"] = kind, found.pop(str(kind), {})
    return found


def _plain(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        return dict(value)
    if descriptor.is_repeated:
        return [_one(descriptor, item) for item in value]
    return _one(descriptor, value)


def _one(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.enum_type is not None:
        return _word(descriptor.enum_type, value)
    if descriptor.message_type is None:
        return value
    match descriptor.message_type.full_name:
        case "google.protobuf.Timestamp" | "google.protobuf.Duration":
            return value.ToMilliseconds()
        case "hookd.v1.Payload":
            return value.data.decode()
    return facts(value)


def _word(enum: EnumDescriptor, number: int) -> str:
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.name).lstrip("_")
    return enum.values_by_number[number].name.removeprefix(f"{prefix}_").lower()
