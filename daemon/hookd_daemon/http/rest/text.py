"""Reads JSON strictly: what parsers understand differently is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from hookd_daemon.errors import InvalidArgumentError

#: How deep arrays and objects may be nested, payloads included.
MAX_DEPTH = 100

#: What the whole body is called in errors.
BODY = "body"

_NO_TEXT = "is no text: half of a surrogate pair stands alone"


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
    _check(value, "", 0)
    return value


def _check(value: Any, path: str, depth: int) -> None:
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, path)
    elif isinstance(value, _Object):
        if value.twice is not None:
            raise InvalidArgumentError(joined(path, value.twice), "stands there twice")
        if depth == MAX_DEPTH:
            raise _too_deep(path)
        for name, item in value.items():
            if not name.isascii():
                _check_text(name, path or BODY)
            _check(item, joined(path, name), depth + 1)
    elif isinstance(value, list):
        if depth == MAX_DEPTH:
            raise _too_deep(path)
        for place, item in enumerate(value):
            _check(item, f"{path}[{place}]", depth + 1)
    elif isinstance(value, _NotJson) or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidArgumentError(path or BODY, "must be a number that a double can hold")


def _check_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(path or BODY, _NO_TEXT) from None


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
