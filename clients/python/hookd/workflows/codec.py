"""One annotated type, and how its values become JSON and come back."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from hookd.payload import Payload

# Bytes inside of JSON have the form that `hookd.payload` gives them. What is
# no number in JSON must be found, and not become null.
_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
_MOST_PROBLEMS = 3


class CodecError(Exception):
    """A value and a type do not go together; the text says why."""


class NotCarriedError(CodecError):
    """The value, or any value of the type, has no form in JSON."""


class NotFittingError(CodecError):
    """The value is not one of the type."""


class Codec:
    """Writes and reads the values of one type."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self._plain = annotation is Any or annotation is object
        self.raw = annotation is Payload
        """Its values are payloads themselves."""

    def __str__(self) -> str:
        if isinstance(self._annotation, type):
            return self._annotation.__qualname__
        return inspect.formatannotation(self._annotation)

    # The adapter is that of a tuple of one: pydantic takes a configuration for
    # that, and not for a dataclass or a TypedDict alone.
    @cached_property
    def _adapter(self) -> TypeAdapter[tuple[Any]]:
        try:
            return TypeAdapter(tuple[self._annotation], config=_CONFIG)  # type: ignore[name-defined]
        except (PydanticUserError, TypeError, ValueError, NameError) as error:
            reason = str(error).partition("\n")[0]
            raise NotCarriedError(reason) from error

    def check(self) -> None:
        """Makes sure that there are values of the type that can be carried."""
        if not self._plain and not self.raw:
            _ = self._adapter

    def to_json(self, value: object) -> bytes:
        """Gives the JSON of a value.

        What is written is read again at once: what a reader would refuse must
        be refused where it comes from.
        """
        try:
            if self._plain:
                data = to_json(value, bytes_mode="base64")
            else:
                data = self._adapter.dump_json((value,), warnings=False)[1:-1]
            if b"NaN" in data or b"Infinity" in data:
                # Either a text that says so, or a number that JSON does not have.
                from_json(data, allow_inf_nan=False)
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise NotCarriedError(str(error).partition("\n")[0]) from None
        if not self._plain:
            self.from_json(data)
        return data

    def from_json(self, data: bytes) -> Any:
        """Gives the value that some JSON stands for."""
        try:
            if self._plain:
                return from_json(data)
            return self._adapter.validate_json(b"[%b]" % data)[0]
        except ValidationError as error:
            raise NotFittingError(_problems(error)) from None
        except (ValueError, RecursionError) as error:
            raise NotFittingError(f"it is not JSON: {error}") from None

    def from_item(self, item: object) -> Any:
        """Gives the value that stands for plain JSON values, bytes, or a Payload."""
        if self.raw and isinstance(item, Payload):
            return item
        if self._plain:
            return item
        if isinstance(item, Payload):
            raise NotFittingError(f"it came as {item.content_type or 'bytes without a type'}")
        if not isinstance(item, bytes):
            return self.from_json(to_json(item))
        try:
            return self._adapter.validate_python((item,))[0]
        except ValidationError as error:
            raise NotFittingError(_problems(error)) from None


def _problems(error: ValidationError) -> str:
    """Gives what pydantic found, in one line and without the values themselves."""
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        # The first part is the place in the tuple of one.
        where = ".".join(str(part) for part in problem["loc"][1:])
        found.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    more = len(found) - _MOST_PROBLEMS
    return "; ".join(found[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
