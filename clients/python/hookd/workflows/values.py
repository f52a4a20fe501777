"""Arguments, results and payloads: from values to JSON and back, by their annotations.

A value is written and read by pydantic as its annotation says: dataclasses,
models, TypedDict, datetime, Decimal, UUID, bytes, enums, tuples, sets, and
what is made of them. Without an annotation, or with ``Any``, it arrives as
plain JSON values. Where the members of a union look alike in JSON
(``datetime | str``), the one that pydantic prefers arrives. A pydantic model
is written as its own configuration says.

The arguments of a call are a JSON array. When some can only be given by name,
the call is ``{"args": […], "kwargs": {…}}`` with a media type of its own, so
that no user's object can be taken for it. Any other value is the single
positional argument; no value is no argument. Defaults are not written: they
belong to the function.
"""

from __future__ import annotations

import inspect
import sys
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pydantic_core import to_json

from hookd.errors import FieldViolation, InvalidArgumentError
from hookd.payload import JSON, MAX_BYTES, Payload, decode, encode
from hookd.v1 import common_pb2
from hookd.workflows.codec import Codec, NotCarriedError, NotFittingError
from hookd.workflows.errors import HookPayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

CALL = "application/vnd.hookd.call+json"
"""The media type of arguments some of which go by name."""

_Kind = inspect.Parameter


class ValueType(Generic[T]):
    """A type whose values are payloads of their own, as those of a hook are."""

    def __init__(self, type: type[T] | Any = Any) -> None:
        self._codec = Codec(type)

    def encode(self, value: T, argument: str) -> common_pb2.Payload:
        """Makes of a value what the wire carries.

        Args:
            value: The value.
            argument: What the user calls it, for the error.

        Raises:
            InvalidArgumentError: It cannot be carried, or is not of the type.
        """
        return _encode_whole(self._codec, value, argument, f"{argument}: the value")

    def decode(self, payload: common_pb2.Payload, *, token: str | None = None) -> T:
        """Gives the value that came.

        Args:
            payload: What came.
            token: The token of the hook that it came to, for the error.

        Raises:
            HookPayloadError: It is not of the type.
        """
        try:
            value: T = _decode_whole(self._codec, payload)
        except NotFittingError as error:
            raise HookPayloadError(token, decode(payload), str(error)) from None
        except NotCarriedError as error:
            problem = f"nothing can be carried as {self._codec}: {error}"
            raise HookPayloadError(token, decode(payload), problem) from None
        return value


class CallSignature:
    """How a function is called: its arguments and its result as payloads."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._name: str = function.__name__
        self._signature = _signature(function)
        self._codecs: dict[str, Codec] = {}

    @property
    def signature(self) -> inspect.Signature:
        """The signature as Python knows it."""
        return self._signature

    def check(self) -> None:
        """Makes sure that every annotation is known and can be carried.

        Raises:
            InvalidArgumentError: One is not; the error names it.
        """
        for name in self._signature.parameters:
            self._codec(name)
        _ = self._result

    def encode_call(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> common_pb2.Payload:
        """Makes of the arguments of a call what the wire carries.

        Raises:
            TypeError: The function does not take so many arguments, or not these.
            InvalidArgumentError: An argument cannot be carried, or is not what
                its annotation says.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None
        positional, named = self._sorted(bound)
        sizes: dict[str, int] = {}

        def dump(label: str, codec: Codec, value: object) -> bytes:
            data = self._dump(label, codec, value)
            sizes[label] = len(data)
            return data

        data = b"[%b]" % b",".join(dump(*part) for part in positional)
        kind = JSON
        if named:
            pairs = (to_json(key) + b":" + dump(*part) for key, part in named.items())
            data = b'{"args":%b,"kwargs":{%b}}' % (data, b",".join(pairs))
            kind = CALL
        if len(data) > MAX_BYTES:
            label = max(sizes, key=lambda each: sizes[each])
            raise _invalid(
                label,
                f"{self._name}(): the arguments must have at most {MAX_BYTES} bytes as JSON, "
                f'they have {len(data)}, of which argument "{label}" has {sizes[label]}',
            )
        return common_pb2.Payload(content_type=kind, data=data)

    def decode_call(self, payload: common_pb2.Payload | None) -> tuple[list[Any], dict[str, Any]]:
        """Gives the arguments of a call, each as its annotation says.

        Raises:
            InvalidArgumentError: They are not what the function takes.
        """
        args, kwargs = _items(self._name, payload)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _invalid("input", f"{self._name}(): {error}") from None
        positional, named = self._sorted(bound)
        return (
            [self._load(*part) for part in positional],
            {key: self._load(*part) for key, part in named.items()},
        )

    def encode_result(self, value: object) -> common_pb2.Payload:
        """Makes of what the function returned what the wire carries.

        Raises:
            InvalidArgumentError: It cannot be carried, or is not what the
                annotation says.
        """
        return _encode_whole(self._result, value, "result", f"{self._name}(): its result")

    def decode_result(self, payload: common_pb2.Payload) -> Any:
        """Gives what the function returned, as its annotation says.

        Raises:
            InvalidArgumentError: It is not what the annotation says.
        """
        try:
            return _decode_whole(self._result, payload)
        except (NotFittingError, NotCarriedError) as error:
            raise _invalid(
                "result", f"{self._name}(): its result does not fit {self._result}: {error}"
            ) from None

    def _sorted(
        self, bound: inspect.BoundArguments
    ) -> tuple[list[tuple[str, Codec, Any]], dict[str, tuple[str, Codec, Any]]]:
        """Gives the arguments that go by position, and those that only go by name."""
        positional: list[tuple[str, Codec, Any]] = []
        named: dict[str, tuple[str, Codec, Any]] = {}
        left_out = False
        for name, parameter in self._signature.parameters.items():
            if name not in bound.arguments:
                left_out = True
                continue
            value, codec = bound.arguments[name], self._codec(name)
            if parameter.kind is _Kind.VAR_POSITIONAL:
                positional += [(f"{name}[{at}]", codec, item) for at, item in enumerate(value)]
            elif parameter.kind is _Kind.VAR_KEYWORD:
                named |= {key: (key, codec, item) for key, item in value.items()}
            elif parameter.kind is _Kind.KEYWORD_ONLY or left_out:
                named[name] = (name, codec, value)
            else:
                positional.append((name, codec, value))
        return positional, named

    def _dump(self, label: str, codec: Codec, value: object) -> bytes:
        try:
            return codec.to_json(value)
        except (NotCarriedError, NotFittingError) as error:
            about = f'{self._name}(): argument "{label}"'
            raise _invalid(label, _refusal(about, codec, value, error)) from None

    def _load(self, label: str, codec: Codec, item: object) -> Any:
        try:
            return codec.from_item(item)
        except NotFittingError as error:
            raise _invalid(
                label, f'{self._name}(): argument "{label}" does not fit {codec}: {error}'
            ) from None
        except NotCarriedError as error:
            raise _invalid(
                label,
                f'{self._name}(): argument "{label}": nothing can be carried as {codec}: {error}',
            ) from None

    def _codec(self, name: str) -> Codec:
        # Two threads may make the same one: both are good.
        codec = self._codecs.get(name)
        if codec is None:
            codec = self._made(self._signature.parameters[name].annotation, f'argument "{name}"')
            self._codecs[name] = codec
        return codec

    @cached_property
    def _result(self) -> Codec:
        return self._made(self._signature.return_annotation, "its result")

    def _made(self, annotation: Any, about: str) -> Codec:
        about = f"{self._name}(): {about}"
        codec = Codec(_resolved(self._function, annotation, about))
        try:
            codec.check()
        except NotCarriedError as error:
            text = f"{about}: nothing can be carried as {codec}: {error}"
            raise _invalid("annotation", text) from None
        return codec


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # Names that are not known yet must not hinder the decoration.
        import annotationlib  # noqa: PLC0415

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _resolved(function: Callable[..., Any], annotation: Any, about: str) -> Any:
    """Gives the type that an annotation names, also one that is text."""
    if annotation is inspect.Parameter.empty:
        return Any
    inner = inspect.unwrap(function)
    known = dict(inspect.getclosurevars(inner).nonlocals)
    known |= {each.__name__: each for each in getattr(inner, "__type_params__", ())}
    try:
        return get_type_hints(
            SimpleNamespace(__annotations__={"it": annotation}),
            getattr(inner, "__globals__", {}),
            known,
            include_extras=True,
        )["it"]
    except Exception as error:  # noqa: BLE001 - an annotation is any code
        raise _invalid(
            "annotation",
            f"{about}: its annotation {annotation!r} cannot be resolved: {error}. What it names "
            "must be defined in the module, or imported there also outside of TYPE_CHECKING",
        ) from None


def _items(
    name: str, payload: common_pb2.Payload | None
) -> tuple[Sequence[object], Mapping[str, object]]:
    """Gives the arguments of a call as they came."""
    if payload is None or not (payload.content_type or payload.data):
        return (), {}
    item = decode(payload)
    if payload.content_type == CALL:
        match item:
            case {"args": list(args), "kwargs": dict(kwargs), **rest} if not rest:
                return args, kwargs
        raise _invalid("input", f"{name}(): the input is no call, though it says that it is")
    return (item if isinstance(item, list) else (item,)), {}


def _encode_whole(codec: Codec, value: object, field: str, about: str) -> common_pb2.Payload:
    """Makes a payload of a value; bytes and a Payload travel as they are."""
    try:
        if isinstance(value, bytes | bytearray | memoryview | Payload):
            payload = encode(value, field)
            codec.from_item(decode(payload))
        else:
            payload = common_pb2.Payload(content_type=JSON, data=codec.to_json(value))
    except (NotCarriedError, NotFittingError) as error:
        raise _invalid(field, _refusal(about, codec, value, error)) from None
    if len(payload.data) > MAX_BYTES:
        raise _invalid(
            field, f"{about} must have at most {MAX_BYTES} bytes, it has {len(payload.data)}"
        )
    return payload


def _decode_whole(codec: Codec, payload: common_pb2.Payload) -> Any:
    if codec.raw:
        return Payload(payload.data, payload.content_type)
    return codec.from_item(decode(payload))


def _refusal(about: str, codec: Codec, value: object, error: Exception) -> str:
    kind = type(value).__qualname__
    if isinstance(error, NotFittingError):
        return f"{about} of type {kind} does not fit {codec}: {error}"
    if inspect.isawaitable(value):
        return f"{about} of type {kind} cannot be carried; was an await forgotten?"
    return f"{about} of type {kind} cannot be carried as JSON: {error}"


def _invalid(field: str, text: str) -> InvalidArgumentError:
    return InvalidArgumentError(text, violations=[FieldViolation(field, text)])
