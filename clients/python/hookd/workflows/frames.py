"""Makes suspended generators and coroutines look finished, so that nothing of them runs again.

CPython closes a suspended generator, coroutine or asynchronous generator when
its last reference goes: it throws GeneratorExit into it, and its ``finally``
blocks run. It leaves alone one whose frame says that it is completed; what
the frame holds is freed in either case. CPython itself says so of a frame that
it need not run to close it. There is no function for it, so the state is
written here, one byte in the object.

Where that byte is, is not known in advance but found by looking at objects
whose state is known. It is used only when there is one place that fits, the
values are those that are known, and a trial has shown that it works.
Otherwise nothing is written, and ``finish`` says that it cannot help.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from types import AsyncGeneratorType, CoroutineType, GeneratorType, coroutine
from typing import Any, Final, NoReturn

KINDS: Final = (GeneratorType, CoroutineType, AsyncGeneratorType)
"""The types whose objects have a frame that can be suspended."""

# The states that a frame has in CPython 3.11 to 3.14: what was never started,
# what is suspended, and what has ended and holds nothing any more.
_CREATED = (-2, -3)
_SUSPENDED = (-1, -2)
_EXECUTING = 0
_COMPLETED = 1
_CLEARED = 4


class _Places:
    """Where the state is in the objects of each type; nowhere when it is not known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[type, int] | None = None

    def get(self) -> dict[type, int]:
        found = self._found
        if found is None:
            with self._lock:
                found = self._found
                if found is None:
                    found = self._found = _observed()
        return found


_places = _Places()


def can_finish() -> bool:
    """Says whether ``finish`` can do anything in this Python."""
    return bool(_places.get())


def is_running(thing: object) -> bool:
    """Says whether it is a generator or coroutine that runs at this moment, if that is known."""
    state = _state(thing)
    return state is not None and state.value == _EXECUTING


def finish(thing: object) -> bool:
    """Makes a suspended generator or coroutine look finished, or one that was not started.

    Only for one that nobody will use again.

    Returns:
        Whether nothing of it will run: also when it has ended. False when it
        is running, or is none of the three types, or this Python is not known.
    """
    state = _state(thing)
    if state is None:
        return False
    if state.value < _EXECUTING:
        state.value = _COMPLETED
    return state.value >= _COMPLETED


def _state(thing: object) -> ctypes.c_int8 | None:
    place = _places.get().get(type(thing))
    return None if place is None else ctypes.c_int8.from_address(id(thing) + place)


def _observed() -> dict[type, int]:
    """Finds the places; none at all if anything is not as it is known."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return {}
    places = {}
    hooks = sys.get_asyncgen_hooks()
    # The samples are no business of a loop that runs here.
    sys.set_asyncgen_hooks(None, None)
    try:
        for kind, samples in _SAMPLES.items():
            fitting = set.intersection(*(_fitting(sample) for sample in samples))
            if len(fitting) != 1:
                return {}
            places[kind] = fitting.pop()
        tried = all(_works(make, places[kind]) for kind, made in _SAMPLES.items() for make in made)
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return places if tried else {}


def _fitting(make: _Sample) -> set[int]:
    """Gives the places where a sample had, in each state, a byte that fits."""
    seen: list[list[int]] = []

    def look() -> None:
        size = min(type(sample).__basicsize__, sample.__sizeof__())
        seen.append(memoryview(ctypes.string_at(id(sample), size)).cast("b").tolist())

    sample: Any = make(look)
    look()
    _go_on(sample)  # It looks at itself while it runs.
    look()
    _go_on(sample)  # It looks at itself once more on its way to its end.
    look()
    created, running, suspended, again, ended = seen
    return {
        place
        for place in range(object.__basicsize__, len(created))
        if created[place] in _CREATED
        and suspended[place] in _SUSPENDED
        and created[place] < suspended[place]
        and running[place] == again[place] == _EXECUTING
        and ended[place] == _CLEARED
    }


def _works(make: _Sample, place: int) -> bool:
    """Tries it: nothing of a suspended one runs, and what it held is freed."""

    class Held:
        looks = 0

        def look(self) -> None:
            Held.looks += 1

    held = Held()
    gone = weakref.ref(held)
    sample = make(held.look)
    _go_on(sample)
    ctypes.c_int8.from_address(id(sample) + place).value = _COMPLETED
    del sample, held
    return Held.looks == 1 and gone() is None


def _go_on(sample: Any) -> None:
    step = sample.__anext__() if isinstance(sample, AsyncGeneratorType) else sample
    with suppress(StopIteration, StopAsyncIteration):
        step.send(None)


# Each looks once before it suspends itself, and once more on its way out. They
# differ in what their frames hold.

_Sample = Callable[[Callable[[], None]], object]


def _raise(*facts: object) -> NoReturn:
    raise LookupError(*facts)


@coroutine
def _pause() -> Generator[None]:
    yield


def _generator(look: Callable[[], None]) -> Generator[None]:
    try:
        look()
        yield
    finally:
        look()


def _generator_of_more(look: Callable[[], None]) -> Generator[None]:
    one, two, three = object(), [look], {"look": look}
    for each in (look,):
        try:
            _raise(one, two)
        except LookupError as error:
            # Else it would hold its frame, and the frame it.
            error.__traceback__ = None
            try:
                each()
                yield
            finally:
                three["look"]()


async def _coroutine(look: Callable[[], None]) -> None:
    try:
        look()
        await _pause()
    finally:
        look()


async def _coroutine_of_more(look: Callable[[], None]) -> None:
    async def inner() -> None:
        await _pause()

    one, two, three = object(), [look], {"look": look}
    for each in (look,):
        try:
            _raise(one, two)
        except LookupError as error:
            # Else it would hold its frame, and the frame it.
            error.__traceback__ = None
            try:
                each()
                await inner()
            finally:
                three["look"]()


async def _async_generator(look: Callable[[], None]) -> AsyncGenerator[None]:
    try:
        look()
        yield
    finally:
        look()


async def _async_generator_of_more(look: Callable[[], None]) -> AsyncGenerator[None]:
    one, two, three = object(), [look], {"look": look}
    for each in (look,):
        try:
            _raise(one, two)
        except LookupError as error:
            # Else it would hold its frame, and the frame it.
            error.__traceback__ = None
            try:
                each()
                yield
            finally:
                three["look"]()


_SAMPLES: dict[type, tuple[_Sample, ...]] = {
    GeneratorType: (_generator, _generator_of_more),
    CoroutineType: (_coroutine, _coroutine_of_more),
    AsyncGeneratorType: (_async_generator, _async_generator_of_more),
}
