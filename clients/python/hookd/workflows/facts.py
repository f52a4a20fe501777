"""What an exception carries, as JSON, and exactly so when it comes back.

Types are not declared here as those of arguments are, so what JSON does not
have is marked: an object with the one key ``"$"`` and the kind, beside its
value.
"""

from __future__ import annotations

import base64
import binascii
import math
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from hookd.errors import FieldViolation

_MARK = "$"
_MOST_DEPTH = 32


class UnknownFactError(Exception):
    """A value that cannot be carried without its type being declared."""


_WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    FieldViolation: ("violation", lambda value: [value.field, value.description]),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "violation": lambda parts: FieldViolation(*parts),
    "float": float,
}
_GROUPS: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}
_GROUP_TYPES: dict[str, Callable[[Sequence[Any]], Any]] = {
    name: kind for kind, name in _GROUPS.items()
}


def pack(value: object, depth: int = 0) -> Any:
    """Gives a value as plain JSON values.

    Raises:
        UnknownFactError: It is of a type, or holds one, that is not known here.
    """
    if depth > _MOST_DEPTH:
        raise UnknownFactError("too deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        kind = type(value)
        return _marked("enum", [kind.__module__, kind.__qualname__, pack(value.value, depth + 1)])
    if type(value) in _WRITERS:
        name, write = _WRITERS[type(value)]
        return _marked(name, write(value))
    if type(value) in _GROUPS:
        items = [pack(item, depth + 1) for item in value]  # type: ignore[attr-defined]
        return _marked(_GROUPS[type(value)], items)
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise UnknownFactError("text without a UTF-8 form") from error
            return str(value)
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else _marked("float", str(float(value)))
        case list():
            return [pack(item, depth + 1) for item in value]
        case dict():
            if _MARK not in value and all(isinstance(key, str) for key in value):
                return {pack(key): pack(item, depth + 1) for key, item in value.items()}
            pairs = [[pack(key, depth + 1), pack(item, depth + 1)] for key, item in value.items()]
            return _marked("dict", pairs)
    raise UnknownFactError(type(value).__qualname__)


def unpack(value: Any) -> Any:
    """Gives the value that ``pack`` was given.

    Raises:
        UnknownFactError: It is of a kind that is not known here.
    """
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _MARK not in value:
        return {key: unpack(item) for key, item in value.items()}
    try:
        return _unmarked(value[_MARK], value["v"])
    except (LookupError, TypeError, ValueError, ArithmeticError, binascii.Error) as error:
        raise UnknownFactError(f"no {value[_MARK]}") from error


def find_class(module: str, qualname: str) -> type | None:
    """Gives a class by its name, if its module is imported.

    Nothing is imported, and no code of the module runs.
    """
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        # Not getattr: a module may have a function that imports what is asked for.
        found = getattr(found, "__dict__", {}).get(name)
    return found if isinstance(found, type) else None


def _marked(kind: str, value: Any) -> dict[str, Any]:
    return {_MARK: kind, "v": value}


def _unmarked(kind: str, value: Any) -> Any:
    if kind in _GROUP_TYPES:
        return _GROUP_TYPES[kind]([unpack(item) for item in value])
    if kind == "dict":
        return {unpack(key): unpack(item) for key, item in value}
    if kind == "enum":
        module, qualname, inner = value
        found = find_class(module, qualname)
        if found is None or not issubclass(found, Enum):
            raise UnknownFactError(f"no enum {module}.{qualname}")
        return found(unpack(inner))
    return _READERS[kind](value)
