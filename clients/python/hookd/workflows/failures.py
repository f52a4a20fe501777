"""Exceptions on their way from a step to its workflow, and out of a run.

A Failure has the exception's class and text for everyone, and in its details
what Python needs to raise the same exception again: module and name of the
class, ``args`` and fields. Only a class whose module is imported is found, and
only one of an Exception; nothing is imported because a log says so.
"""

from __future__ import annotations

import traceback
from types import FunctionType, MemberDescriptorType, TracebackType
from typing import Any

from pydantic_core import to_json

from hookd.errors import HookdError
from hookd.payload import JSON, decode
from hookd.v1 import common_pb2
from hookd.workflows.errors import StepFailedError
from hookd.workflows.facts import find_class, pack, unpack

_MOST_TYPE_BYTES = 256
_MOST_TEXT = 16 * 1024
_MOST_TRACEBACK = 32 * 1024
_MOST_FACTS_BYTES = 128 * 1024
_MOST_CAUSES = 32

# What runs users' code: their frames at the top of a traceback tell nobody anything.
_RUNTIME = ("hookd", "asyncio", "concurrent", "threading", "contextvars")
# Raised in a coroutine, these would mean something to Python itself.
_UNRAISABLE = (StopIteration, StopAsyncIteration)


def to_failure(error: BaseException) -> common_pb2.Failure:
    """Gives an exception as the wire carries it. It always gives something."""
    failure = common_pb2.Failure(
        type=_shortened(type(error).__name__, _MOST_TYPE_BYTES), message=_text(error)
    )
    details = {
        "module": _clean(str(type(error).__module__)),
        "qualname": _clean(type(error).__qualname__),
        "traceback": _traceback(error),
    }
    if isinstance(error, HookdError):
        details["reason"] = _clean(str(error.reason))
    data = _facts(error, details)
    failure.details.CopyFrom(common_pb2.Payload(content_type=JSON, data=data))
    return failure


def from_failure(failure: common_pb2.Failure, *, step_name: str, attempt: int) -> Exception:
    """Gives the exception that a step has failed with.

    It is of the step's own class, with the same text, when that class is
    imported here and can be made again; its ``__cause__`` is then the
    StepFailedError that is given otherwise.

    Args:
        failure: What the worker of the step has reported.
        step_name: The name of the step.
        attempt: Its last attempt.
    """
    found = decode(failure.details) if failure.HasField("details") else None
    details: dict[str, Any] = found if isinstance(found, dict) else {}
    failed = StepFailedError(
        step_name,
        failure.type,
        failure.message,
        attempt=attempt,
        remote_traceback=str(details.get("traceback", "")),
    )
    original = _rebuilt(details, failure.message)
    if original is None:
        return failed
    original.__cause__ = failed
    return original


def _facts(error: BaseException, details: dict[str, Any]) -> bytes:
    """Gives the details with ``args`` and fields of an exception, as far as they can be carried."""
    try:
        # Not of `args` alone: OSError has taken the name of a file out of them.
        _, known, *state = _builtin(type(error), "__reduce__")(error)
        held = state[0] if state and isinstance(state[0], dict) else {}
        carried = {_clean(name): _packed(value) for name, value in held.items()}
        fields = {name: value[0] for name, value in carried.items() if value}
        args = _packed(list(known))
        data = to_json({**details, "args": args[0] if args else None, "fields": fields})
    except Exception:  # noqa: BLE001 - a user's class may hold anything
        return to_json(details)
    return data if len(data) <= _MOST_FACTS_BYTES else to_json(details)


def _packed(value: object) -> tuple[Any, ...]:
    """Gives the one value as JSON, or nothing."""
    try:
        return (pack(value),)
    except Exception:  # noqa: BLE001 - a user's value may be anything
        return ()


def _rebuilt(details: dict[str, Any], message: str) -> Exception | None:
    """Gives the exception that the details tell about; None if it cannot be made again."""
    module, qualname, args = (details.get(name) for name in ("module", "qualname", "args"))
    fields = details.get("fields")
    if not isinstance(module, str) or not isinstance(qualname, str):
        return None
    kind = find_class(module, qualname)
    if kind is None or not issubclass(kind, Exception) or issubclass(kind, _UNRAISABLE):
        return None
    try:
        known = tuple(unpack(item) for item in args) if isinstance(args, list) else (message,)
        error = _made(kind, known)
        for name, value in (fields if isinstance(fields, dict) else {}).items():
            _set(error, name, unpack(value))
    except Exception:  # noqa: BLE001 - a class may do anything when it is made
        return None
    return error if type(error) is kind and _text(error) == message else None


def _made(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    """Makes an exception without its own ``__init__``, which may take anything.

    What that would set comes back with the fields. What the classes of Python
    itself keep outside of them, as OSError does, is made of ``args``.
    """
    error = _builtin(kind, "__new__")(kind, *args)
    if not isinstance(error, kind):
        raise TypeError(f"{kind.__qualname__} makes something else")
    _builtin(kind, "__init__")(error, *args)
    return error


def _set(error: Exception, name: str, value: Any) -> None:
    """Sets a field, without any code of a user's class."""
    if isinstance(getattr(type(error), name, None), MemberDescriptorType):
        setattr(error, name, value)  # As ImportError has its name and path.
    else:
        error.__dict__[name] = value


def _builtin(kind: type[BaseException], name: str) -> Any:
    """Gives a method as the nearest base class has it that is not written in Python."""
    for base in kind.__mro__:
        method = vars(base).get(name)
        if isinstance(method, staticmethod):
            method = method.__func__
        if method is not None and not isinstance(method, FunctionType):
            return method
    raise TypeError(f"{kind.__qualname__} has no {name}")


def _traceback(error: BaseException) -> str:
    """Gives where it was raised, from the first frame of a user's code on."""
    try:
        lines = traceback.TracebackException(
            type(error), error, _users(error.__traceback__), compact=True
        ).format()
        text = "".join(lines)
    except Exception as problem:  # noqa: BLE001 - sources and exceptions may be anything
        text = f"(the traceback cannot be shown: {type(problem).__qualname__})\n"
    failed = _failed_step(error)
    if failed is not None and failed.remote_traceback:
        text = f"{failed.remote_traceback}\nThat was in step {failed.step_name}. Here:\n\n{text}"
    text = _clean(text)
    if len(text) > _MOST_TRACEBACK:
        half = _MOST_TRACEBACK // 2
        text = f"{text[:half]}\n  …\n{text[-half:]}"
    return text


def _users(trace: TracebackType | None) -> TracebackType | None:
    first = trace
    while first is not None:
        module = str(first.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _RUNTIME:
            return first
        first = first.tb_next
    return trace


def _failed_step(error: BaseException) -> StepFailedError | None:
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None or isinstance(cause, StepFailedError):
            return cause
        cause = cause.__cause__
    return None


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as problem:  # noqa: BLE001 - whatever a user's class does
        text = f"(its text cannot be shown: {type(problem).__qualname__})"
    return _clean(text[:_MOST_TEXT])


def _clean(text: str) -> str:
    """Gives text that has a UTF-8 form."""
    return text.encode(errors="replace").decode()


def _shortened(text: str, most: int) -> str:
    return _clean(text).encode()[:most].decode(errors="ignore")
