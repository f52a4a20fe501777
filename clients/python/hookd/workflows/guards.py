"""Catches what workflow code must not do, while it does it.

``install`` puts an audit hook into the process and replaces some functions of
the standard library, for good: so only workers do it. Both look whether
workflow code is running in their thread, and do nothing otherwise.

What cannot be caught so is what C code does without telling anybody, as
``datetime.now``, and functions that a module has taken by name before
``install``. ``warnings_for`` finds these, where they are plain to see.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import random
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from types import FrameType, ModuleType
from typing import Any, Protocol, Self

from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.rules import EVENTS, FUNCTIONS, RANDOM, SECRET, THREAD, TRUSTED, Rule
from hookd.workflows.suspects import warnings_for

__all__ = ["install", "unguarded", "warnings_for", "workflow_code"]

_SUSPENDABLE = (
    inspect.CO_COROUTINE
    | inspect.CO_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)


# By thread, the frame that runs workflow code in it. Mostly it is empty, and to
# see that is all that the rest of the process pays.
_below: dict[int, FrameType] = {}
_unguarded: ContextVar[int] = ContextVar("hookd_unguarded", default=0)
_install_lock = threading.Lock()
_installed: list[object] = []


class workflow_code:
    """Says that workflow code runs in this thread, for the length of a ``with`` block."""

    __slots__ = ("_outer",)

    def __enter__(self) -> Self:
        thread = get_ident()
        self._outer = _below.get(thread)
        _below[thread] = sys._getframe(1)
        return self

    def __exit__(self, *error: object) -> None:
        if self._outer is None:
            _below.pop(get_ident(), None)
        else:
            _below[get_ident()] = self._outer


class unguarded:
    """Lets workflow code do what is otherwise refused, for the length of a ``with`` block.

    You promise that it does the same in each replay of the run, however often
    and on whatever machine: reading a file that is a part of the program, or
    measuring a time that decides nothing.
    """

    __slots__ = ()

    def __enter__(self) -> Self:
        _unguarded.set(_unguarded.get() + 1)
        return self

    def __exit__(self, *error: object) -> None:
        _unguarded.set(_unguarded.get() - 1)


def install() -> None:
    """Begins to watch this process. Only the first call does anything."""
    with _install_lock:
        if _installed:
            return
        for (module, name), rule in FUNCTIONS.items():
            _replace(importlib.import_module(module), name, f"{module}.{name}()", rule)
        # What `secrets` and SystemRandom have taken by name.
        _replace(random, "_urandom", "os.urandom()", SECRET)
        _replace(random.Random, "seed", "random.Random() without a seed", RANDOM, unless=_is_seeded)
        _replace(threading.Thread, "start", "Thread.start()", THREAD)
        sys.addaudithook(_audit)
        _installed.append(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _below and event in EVENTS and get_ident() in _below:
        call, rule = EVENTS[event]
        _check(call, rule, sys._getframe(1))


class _Exemption(Protocol):
    def __call__(self, *args: Any, **kwargs: Any) -> bool: ...


def _is_seeded(this: object, a: object = None, *rest: object, **more: object) -> bool:
    return a is not None


def _replace(
    owner: Any, name: str, call: str, rule: Rule, *, unless: _Exemption | None = None
) -> None:
    original: Callable[..., Any] | None = getattr(owner, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if _below and get_ident() in _below and not (unless and unless(*args, **kwargs)):
            _check(call, rule, sys._getframe(1))
        return original(*args, **kwargs)

    if isinstance(owner, ModuleType):
        # Else that of the object that the functions of `random` are methods of.
        watched.__module__, watched.__qualname__ = owner.__name__, name
    setattr(owner, name, watched)


def _check(call: str, rule: Rule, caller: FrameType | None) -> None:
    if not _unguarded.get() and not _is_trusted(caller):
        raise WorkflowRuleError(
            f"{call} in the code of a workflow {rule.why}", call=call, hint=rule.hint
        )


def _is_trusted(caller: FrameType | None) -> bool:
    """Whether somebody whom the workflow need not care about has called.

    That is who calls, and anybody on whose behalf that is: but not the
    coroutines of the runtime, on behalf of which everything is.
    """
    frame, below = caller, _below.get(get_ident())
    while frame is not None and frame is not below:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in TRUSTED or frame.f_code.co_name == "__del__":
            return True
        if package == "hookd" and (frame is caller or not frame.f_code.co_flags & _SUSPENDABLE):
            return True
        if package == "asyncio" and frame is caller:
            return True
        frame = frame.f_back
    return False
