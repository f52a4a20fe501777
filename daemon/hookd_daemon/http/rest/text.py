"""Reads JSON strictly: what parsers understand differently is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from hookd_daemon.errors import InvalidArgumentError

#: How deep arrays and objects may be nested, payloads included.
MAX_DEPTH = 100

#: What the whole body is called in errors.
BODY = "body"

#: How many values there may be, in all arrays and objects.
MAX_VALUES = 500_000

_NO_TEXT = "is no text: half of a surrogate pair stands alone"
_NO_NUMBER = "must be a number that a double can hold"
_DEEP = "is too deep"
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class _Object(dict[str, Any]):
    """An object, and the first of its names that came twice."""

    twice: str | None = None


class _NotJson:
    """``NaN`` or ``Infinity``, which Python's parser knows and JSON does not."""


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        made.twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=lambda _: _NotJson())


def load(data: bytes) -> Any:
    """Reads a JSON document.

    Returns:
        What Python has for it: every name once, every number finite, every text
        encodable, nothing too deep.

    Raises:
        InvalidArgumentError: it is none, or not unambiguous; names the place.
    """
    _check_size(data)
    try:
        value = _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            BODY, f"must be JSON in UTF-8; byte {error.start} is not"
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidArgumentError(
            BODY, f"must be JSON; {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep(BODY) from None
    except ValueError:
        # Python reads no numbers of more than 4300 digits.
        raise InvalidArgumentError(BODY, "has a number of too many digits") from None
    found = _fault(value, 0)
    if found is not None:
        raise found.error()
    return value


def _check_size(data: bytes) -> None:
    """Refuses what would take seconds to read: millions of small values."""
    if _values(data) > MAX_VALUES and (values := _values(_STRING.sub(b"", data))) > MAX_VALUES:
        raise InvalidArgumentError(
            BODY,
            f"must have at most {MAX_VALUES} values; it has {values}. A large payload can be sent "
            "as bytes, in the field with _raw behind its name",
        )


def _values(data: bytes) -> int:
    return 1 + data.count(b",") + data.count(b"[") + data.count(b"{")


class _Fault:
    """Something wrong, and the way to it from the inside out."""

    def __init__(self, why: str, *way: str | int) -> None:
        self.why = why
        self.way = list(way)

    def error(self) -> InvalidArgumentError:
        path = ""
        for step in reversed(self.way):
            path = f"{path}[{step}]" if isinstance(step, int) else joined(path, step)
        return (
            _too_deep(path) if self.why == _DEEP else InvalidArgumentError(path or BODY, self.why)
        )


def _fault(value: Any, depth: int) -> _Fault | None:
    """The first thing in a value that is wrong; this is done for each of up to MAX_VALUES."""
    kind = type(value)
    if kind is str:
        return None if value.isascii() or _is_text(value) else _Fault(_NO_TEXT)
    if kind is float:
        return None if math.isfinite(value) else _Fault(_NO_NUMBER)
    if kind is _Object:
        return _fault_of_object(value, depth)
    if kind is list:
        if depth == MAX_DEPTH:
            return _Fault(_DEEP)
        for place, item in enumerate(value):
            found = _fault(item, depth + 1)
            if found is not None:
                found.way.append(place)
                return found
        return None
    return _Fault(_NO_NUMBER) if kind is _NotJson else None


def _fault_of_object(value: _Object, depth: int) -> _Fault | None:
    if value.twice is not None:
        return _Fault("stands there twice", value.twice)
    if depth == MAX_DEPTH:
        return _Fault(_DEEP)
    for name, item in value.items():
        if not name.isascii() and not _is_text(name):
            return _Fault(_NO_TEXT)
        found = _fault(item, depth + 1)
        if found is not None:
            found.way.append(name)
            return found
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep(path: str) -> InvalidArgumentError:
    # The path of a hundred names would only fill the message.
    return InvalidArgumentError(
        path.partition(".")[0].partition("[")[0] or BODY,
        f"must be nested at most {MAX_DEPTH} deep; it is deeper",
    )


def joined(path: str, name: str) -> str:
    """The path of a field inside of another, shortened if the name is long."""
    name = name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}…"
    # A name of a payload may be anything; half a surrogate cannot be sent back.
    name = name.encode("utf-8", "replace").decode()
    return f"{path}.{name}" if path else name


_SHOWN_NAME = 64


def dump(value: Any) -> str:
    """Writes what ``load`` has read, without spaces."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
