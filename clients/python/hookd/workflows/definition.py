"""Workflows and steps: what the decorators make of functions."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Generic, NoReturn, ParamSpec, Protocol, TypeVar, cast, overload

from hookd import validate
from hookd.durations import Seconds, duration, seconds
from hookd.errors import InvalidArgumentError
from hookd.v1 import events_pb2
from hookd.workflows import context
from hookd.workflows.errors import OutsideWorkflowError
from hookd.workflows.values import CallSignature

P = ParamSpec("P")
R = TypeVar("R")

_MAX_NAME_BYTES = 256
_VERSION = re.compile(r"[!-~]{1,128}")
_VERSION_DIGITS = 16
_MOST_RETRIES = 2**32 - 1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and when, a step is tried again."""

    max_retries: int = 3
    """How many attempts may follow the first one."""
    initial_interval: Seconds = 1.0
    """The time before the second attempt."""
    backoff: float = 2.0
    """Each later time is so many times longer."""
    max_interval: Seconds = 3600.0
    """No time is longer."""

    def __post_init__(self) -> None:
        retries = validate.whole(self.max_retries, "max_retries")
        if not 0 <= retries <= _MOST_RETRIES:
            raise InvalidArgumentError.of(
                "max_retries", f"must be 0 to {_MOST_RETRIES}, not {retries}"
            )
        seconds(self.initial_interval, "initial_interval")
        seconds(self.max_interval, "max_interval")
        number = isinstance(self.backoff, int | float) and not isinstance(self.backoff, bool)
        if not number or not 1 <= self.backoff < float("inf"):
            raise InvalidArgumentError.of(
                "backoff", f"must be a number from 1 on, not {self.backoff!r}"
            )

    def to_wire(self) -> events_pb2.RetryPolicy:
        """Gives the policy as the wire carries it; not to be changed."""
        return _wire(self)


# Every call of a step needs its policy, and a program has few of them.
@functools.lru_cache(maxsize=256)
def _wire(policy: RetryPolicy) -> events_pb2.RetryPolicy:
    return events_pb2.RetryPolicy(
        max_retries=policy.max_retries,
        initial_interval=duration(policy.initial_interval, "initial_interval"),
        backoff=policy.backoff,
        max_interval=duration(policy.max_interval, "max_interval"),
    )


class Workflow(Generic[P, R]):
    """A durable function. Made by ``@workflow``; started with ``start``.

    Called in the code of a workflow, it runs as a part of the same run.

    Attributes:
        workflow_name: The name under which its runs are known.
        version: Tells one code of it from another.
        function: The function itself.
        signature: How its arguments and its result travel.
    """

    __wrapped__: Callable[P, Coroutine[Any, Any, R]]
    __name__: str

    def __init__(
        self,
        function: Callable[P, Coroutine[Any, Any, R]],
        *,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        checked = _function(function, "workflow")
        if not inspect.iscoroutinefunction(checked):
            raise TypeError(
                f"@workflow: {checked.__qualname__} must be an `async def` function: "
                "what blocks or computes for long belongs into a step"
            )
        functools.update_wrapper(self, checked)
        self.function = function
        self.workflow_name = _name(checked, name)
        self.version = _code_version(checked) if version is None else _version(version)
        self.signature = CallSignature(checked)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Runs as a part of the run that calls.

        Raises:
            OutsideWorkflowError: No workflow calls.
        """
        if context.current_or_none() is None:
            raise OutsideWorkflowError(
                f"{self.__name__}() is a workflow and runs on a worker: "
                f"start a run of it with `await hookd.start({self.__name__}, …)`"
            )
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Workflow {self.workflow_name!r} version={self.version!r}>"


class Step(Generic[P, R]):
    """A function whose result is recorded once. Made by ``@step``.

    In the code of a workflow a call gives what to await, whether the function
    is asynchronous or not; the function itself runs in a worker. Elsewhere, in
    a test for instance, a call is a plain call of the function: that of a
    synchronous one gives its value and not what to await, other than the type
    says.

    Attributes:
        step_name: The name under which workers know it.
        function: The function itself.
        is_async: Whether it is an ``async def`` function.
        retry: How often, and when, it is tried again.
        signature: How its arguments and its result travel.
    """

    __wrapped__: Callable[P, Any]
    __name__: str

    def __init__(
        self,
        function: Callable[P, Coroutine[Any, Any, R]] | Callable[P, R],
        *,
        name: str | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        checked = _function(function, "step")
        functools.update_wrapper(self, checked)
        self.function: Callable[P, Any] = function
        self.step_name = _name(checked, name)
        self.is_async = inspect.iscoroutinefunction(checked)
        self.retry = RetryPolicy() if retry is None else retry
        self.signature = CallSignature(checked)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Has the step executed, and gives what to await for its result."""
        execution = context.current_or_none()
        if execution is not None:
            return cast("Coroutine[Any, Any, R]", execution.call_step(self, args, kwargs))
        return cast("Coroutine[Any, Any, R]", self.function(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<Step {self.step_name!r}>"


class _WorkflowDecorator(Protocol):
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...


class _StepDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def workflow(function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(*, name: str | None = None, version: str | None = None) -> _WorkflowDecorator: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
) -> Any:
    """Makes a durable workflow of an ``async def`` function.

    Args:
        function: The function.
        name: The name under which its runs are known; else the function's. It
            must stay the same for as long as runs of it are open.
        version: Tells one code of the workflow from another: 1 to 128 visible
            ASCII characters. A worker continues the runs of its own version
            first. Made from the source when None.
    """
    if function is not None:
        return Workflow(function, name=name, version=version)
    return lambda function: Workflow(function, name=name, version=version)


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *, name: str | None = None, max_retries: int | None = None, retry: RetryPolicy | None = None
) -> _StepDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    max_retries: int | None = None,
    retry: RetryPolicy | None = None,
) -> Any:
    """Makes a step of a function: what touches the world, and is recorded.

    A step may be executed more than once, when its worker is lost or it fails;
    its result is recorded once. A function that is not asynchronous runs in a
    thread.

    Args:
        function: The function, ``async def`` or not; no method.
        name: The name under which workers know it; else the function's. It
            must stay the same for as long as runs that use it are open.
        max_retries: How many attempts may follow the first one; 3 when
            neither this nor ``retry`` says so.
        retry: How often, and when, it is tried again.
    """
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise InvalidArgumentError.of(
            "retry", f"must be a RetryPolicy, not {type(retry).__qualname__}"
        )
    if max_retries is not None:
        if retry is not None:
            raise InvalidArgumentError.of("max_retries", "cannot be given beside retry")
        retry = RetryPolicy(max_retries=max_retries)
    if function is not None:
        return Step(function, name=name, retry=retry)
    return lambda function: Step(function, name=name, retry=retry)


def _function(function: object, word: str) -> FunctionType:
    """Gives what is decorated if it is a plain function, asynchronous or not."""
    if isinstance(function, Workflow | Step):
        _refuse(word, f"{function!r} is decorated already")
    if isinstance(function, classmethod | staticmethod):
        _refuse(word, "put @staticmethod above it; methods of objects and classes cannot be used")
    if inspect.isclass(function):
        _refuse(word, f"{function.__qualname__} is a class; only a function can be used")
    if not isinstance(function, FunctionType):
        _refuse(word, f"only a function can be used, not {type(function).__qualname__}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        _refuse(word, f"{function.__qualname__} is a generator; only a function can be used")
    inside = function.__qualname__.rpartition(".")[0]
    if inside and not inside.endswith("<locals>"):
        inner = inspect.unwrap(function)
        code = inner.__code__ if isinstance(inner, FunctionType) else function.__code__
        if code.co_varnames[: code.co_argcount][:1] in (("self",), ("cls",)):
            _refuse(
                word,
                f"{function.__qualname__} is a method; only a function can be used, "
                "because an object cannot be carried from one worker to another",
            )
    return function


def _refuse(word: str, text: str) -> NoReturn:
    raise TypeError(f"@{word}: {text}")


def _name(function: FunctionType, name: str | None) -> str:
    checked = validate.name(function.__name__ if name is None else name, "name")
    size = len(checked.encode())
    if size > _MAX_NAME_BYTES:
        raise InvalidArgumentError.of(
            "name", f"must be at most {_MAX_NAME_BYTES} bytes of UTF-8, has {size}"
        )
    return checked


def _version(version: str) -> str:
    if not _VERSION.fullmatch(validate.text(version, "version")):
        raise InvalidArgumentError.of(
            "version", f"must be 1 to 128 visible ASCII characters, not {version!r}"
        )
    return version


def _code_version(function: FunctionType) -> str:
    """Gives a short hash of the code: of its source, else of what it was compiled to."""
    inner = inspect.unwrap(function)
    try:
        content = textwrap.dedent(inspect.getsource(inner)).encode(errors="surrogatepass")
    except (OSError, TypeError, SyntaxError):
        content = repr(_compiled(inner.__code__)).encode(errors="surrogatepass")
    return hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]


def _compiled(code: CodeType) -> tuple[object, ...]:
    """Gives what makes up compiled code, without where it stands."""
    constants = tuple(
        _compiled(constant)
        if isinstance(constant, CodeType)
        # The order of a set is another one in each process.
        else sorted(map(repr, constant))
        if isinstance(constant, frozenset)
        else constant
        for constant in code.co_consts
    )
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants
