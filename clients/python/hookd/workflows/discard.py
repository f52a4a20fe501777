"""Throws suspended workflow code away without running any more of it.

A run that is put aside, or goes on in another worker, leaves coroutines behind
that are suspended in the middle of a ``try`` or an ``async with``. Their
``finally`` blocks belong to the run and not to this process: they must not
run because memory is freed, nor at the exit of the interpreter.

So what the code leaves behind is made to look finished (see ``frames``): the
coroutines that are given, what they wait for, and the generators that only
they hold, such as that of an ``@asynccontextmanager``. What anybody else can
still use is left alone: it is told apart by counting references, as the
garbage collector does it. Where a Python is not known, the coroutines are kept
for ever instead, which costs memory and nothing else.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections import Counter
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    GeneratorType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from hookd.workflows import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

# What is looked at to find the generators that code holds. They are found from
# the near to the far, and a generator is near to the frame that uses it.
_MOST_OBJECTS = 20_000
_MANY_ITEMS = 1000

# Beyond these, everything can be reached, and nothing that only the code holds.
_COMMON = (type, ModuleType, CodeType, BuiltinFunctionType, asyncio.AbstractEventLoop)

# For a Python that cannot be helped otherwise.
_kept: list[object] = []


def discard(things: Iterable[object]) -> None:
    """Throws suspended coroutines away: nothing of them will run again.

    Whoever calls drops its references afterwards. What is running at this
    moment is left alone.

    Args:
        things: Coroutines, generators, asynchronous generators, and tasks of
            asyncio, all that there are of a run.
    """
    roots = _chain(things)
    for root in roots:
        if isinstance(root, asyncio.Future):
            _silence(root)
    if not frames.can_finish():
        _keep(roots)
        return
    held = _held(roots)
    for thing in (*roots, *held):
        if isinstance(thing, asyncio.Future):
            _silence(thing)
        else:
            frames.finish(thing)


def _chain(things: Iterable[object]) -> list[object]:
    """Gives the things, and what they wait for: nobody else can go on with it."""
    chain: dict[int, object] = {}
    todo = list(things)
    while todo:
        thing = todo.pop()
        if id(thing) not in chain and not frames.is_running(thing):
            chain[id(thing)] = thing
            todo += filter(_is_link, _awaited(thing))
    return list(chain.values())


def _awaited(thing: object) -> Iterable[object]:
    match thing:
        case asyncio.Task():
            return (thing.get_coro(),)
        case CoroutineType():
            return (thing.cr_await,)
        case GeneratorType():
            return (thing.gi_yieldfrom,)
        case AsyncGeneratorType():
            return (thing.ag_await,)
    # What `__anext__()`, `asend()`, `anext()` gave, and the like.
    return gc.get_referents(thing) if _is_link(thing) else ()


def _is_link(item: object) -> bool:
    return isinstance(item, frames.KINDS) or (
        type(item).__module__ == "builtins" and hasattr(item, "throw")
    )


def _held(roots: list[object]) -> list[object]:
    """Gives what can run or make noise, and is held by the roots alone."""
    own = {id(root) for root in roots}
    objects = _reachable(roots)
    if not any(id(item) not in own and _matters(item) for item in objects):
        return []
    alone = _alone(objects, own)
    return [
        item
        for item, only in zip(objects, alone, strict=True)
        if only and id(item) not in own and _matters(item)
    ]


def _reachable(roots: list[object]) -> list[object]:
    """Gives the objects that can be reached from the roots, the near ones first."""
    objects = list(roots)
    seen = {id(root) for root in roots}
    front = list(roots)
    later: list[object] = []
    while front or later:
        if not front:
            front, later = later, []
        found = gc.get_referents(*front)
        front = []
        for item in found:
            if len(objects) >= _MOST_OBJECTS:
                return objects
            if id(item) not in seen and gc.is_tracked(item) and not _is_common(item):
                seen.add(id(item))
                objects.append(item)
                (later if _is_big(item) else front).append(item)
    return objects


def _is_big(item: object) -> bool:
    """Whether it is data rather than code: what is in it is looked at last."""
    return isinstance(item, list | tuple | dict | set | frozenset) and len(item) > _MANY_ITEMS


def _is_common(item: object) -> bool:
    if isinstance(item, _COMMON):
        return True
    if type(item) is dict:
        return "__builtins__" in item or ("__spec__" in item and "__name__" in item)
    # The runtime's own: a run's hooks know their run, and that knows its whole log.
    return type(item).__module__.partition(".")[0] == "hookd"


def _alone(objects: list[object], own: set[int]) -> list[bool]:
    """Says of each object whether it can be reached through the roots alone.

    An object with more references than those among the objects themselves is
    somebody else's, and so is what it refers to.
    """
    place = {id(item): at for at, item in enumerate(objects)}
    refers: list[list[int]] = []
    inside: Counter[int] = Counter()
    for item in objects:
        targets = [place[id(to)] for to in gc.get_referents(item) if id(to) in place]
        refers.append(targets)
        inside.update(targets)
        del item
    # The list has a reference to each; how many this loop has, it shows itself.
    probe: list[object] = [object()]
    (ours,) = map(sys.getrefcount, probe)
    counts = list(map(sys.getrefcount, objects))
    todo = [
        at
        for at, item in enumerate(objects)
        if counts[at] - ours > inside[at] and id(item) not in own
    ]
    alone = [True] * len(objects)
    while todo:
        at = todo.pop()
        if alone[at] and id(objects[at]) not in own:
            alone[at] = False
            todo += refers[at]
    return alone


def _matters(item: object) -> bool:
    return isinstance(item, (*frames.KINDS, asyncio.Future))


def _silence(future: asyncio.Future[Any]) -> None:
    """Sees to it that nothing is logged when it is freed."""
    if isinstance(future, asyncio.Task):
        future._log_destroy_pending = False  # type: ignore[attr-defined]
    if getattr(future, "_log_traceback", False):
        future._log_traceback = False


def _keep(things: list[object]) -> None:
    """Keeps them for ever: even the interpreter's exit does not close them."""
    _kept.extend(things)
    if sys.implementation.name == "cpython":
        for thing in things:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
