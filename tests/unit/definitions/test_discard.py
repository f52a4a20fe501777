"""Suspended code is thrown away, and nothing of it runs."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import textwrap
import tracemalloc
import types
import weakref

import pytest
from hookd.workflows import discard as discarding
from hookd.workflows import frames
from hookd.workflows.discard import discard

ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran():
    ran.clear()
    yield
    gc.collect()
    assert ran == []


@types.coroutine
def pause():
    yield


class Held:
    """Something that code holds, to see whether it is freed."""


def suspended(coroutine):
    """Runs a coroutine to where it waits."""
    coroutine.send(None)
    return coroutine


def test_this_python_is_known():
    assert frames.can_finish()


async def with_finally(held=None):
    try:
        await pause()
    finally:
        ran.append("finally")


async def with_except():
    try:
        await pause()
    except GeneratorExit:
        ran.append("except GeneratorExit")
        raise


async def with_everything_caught():
    try:
        await pause()
    except BaseException:  # noqa: BLE001
        ran.append("except BaseException")


class Manager:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        ran.append("__aexit__")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        ran.append("__exit__")


async def in_async_with():
    async with Manager():
        await pause()


async def in_with():
    with Manager():
        await pause()


async def nested():
    try:
        async with Manager():
            await with_finally()
    finally:
        ran.append("outer finally")


def fail():
    raise LookupError("x")


async def in_except_block():
    try:
        fail()
    except LookupError:
        try:
            await pause()
        finally:
            ran.append("finally in except")


async def stepwise():
    try:
        yield 1
        await pause()
        yield 2
    finally:
        ran.append("finally of an async generator")


async def over_async_generator():
    async for _ in stepwise():
        await pause()


async def inside_async_generator():
    async for _ in stepwise():
        pass


async def inside_asend():
    generator = stepwise()
    await generator.asend(None)
    await generator.asend(None)


async def inside_anext():
    generator = stepwise()
    await anext(generator, None)
    await anext(generator, None)


async def inside_aclose():
    generator = slow_to_close()
    await anext(generator)
    await generator.aclose()


async def slow_to_close():
    try:
        try:
            yield 1
        finally:
            await pause()
    finally:
        ran.append("finally after aclose")


@contextlib.asynccontextmanager
async def async_manager():
    try:
        yield
    finally:
        ran.append("finally of an async manager")


@contextlib.contextmanager
def manager():
    try:
        yield
    finally:
        ran.append("finally of a manager")


async def in_async_manager():
    async with async_manager():
        await pause()


async def in_manager():
    with manager():
        await pause()


async def in_exit_stack():
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(async_manager())
        stack.enter_context(manager())
        stack.push_async_callback(with_finally)
        await pause()


def plain_generator():
    try:
        yield 1
    finally:
        ran.append("finally of a generator")


async def holds_generators_in_data():
    generators = {"a": [plain_generator()], "b": (plain_generator(), stepwise())}
    next(generators["a"][0])
    next(generators["b"][0])
    await anext(generators["b"][1])

    def closure():
        return generators

    await pause()
    closure()


class Awaitable:
    def __await__(self):
        try:
            yield
        finally:
            ran.append("finally of __await__")


class Wrapping:
    def __await__(self):
        return with_finally().__await__()


async def in_await_method():
    await Awaitable()


async def in_coroutine_wrapper():
    await Wrapping()


def delegated():
    try:
        yield from plain_generator()
    finally:
        ran.append("finally of a delegating generator")


async def holds_what_was_never_awaited():
    coroutine = with_finally()
    await pause()
    await coroutine


CASES = [
    with_finally,
    with_except,
    with_everything_caught,
    in_async_with,
    in_with,
    nested,
    in_except_block,
    over_async_generator,
    inside_async_generator,
    inside_asend,
    inside_anext,
    inside_aclose,
    in_async_manager,
    in_manager,
    in_exit_stack,
    holds_generators_in_data,
    in_await_method,
    in_coroutine_wrapper,
    holds_what_was_never_awaited,
]


@pytest.mark.parametrize("case", CASES)
def test_nothing_runs(case):
    coroutine = suspended(case())
    gone = weakref.ref(coroutine)
    discard([coroutine])
    gc.collect()
    assert gone() is not None
    del coroutine
    gc.collect()
    assert ran == []
    assert gone() is None


@pytest.mark.parametrize("case", CASES)
def test_the_cases_would_run_otherwise(case):
    """What the test above shows is shown by `discard` and by nothing else."""
    if case is holds_what_was_never_awaited:
        coroutine = suspended(case())
        with pytest.warns(RuntimeWarning, match="never awaited"):
            coroutine.close()
        return
    with contextlib.suppress(RuntimeError):
        suspended(case()).close()
    gc.collect()
    assert ran != []
    ran.clear()


def test_generators_and_what_was_not_started():
    started, fresh = delegated(), delegated()
    next(started)
    never = with_finally()
    discard([started, fresh, never])
    del started, fresh, never
    gc.collect()
    assert ran == []


def test_what_the_frame_held_is_freed():
    held = Held()
    gone = weakref.ref(held)
    coroutine = suspended(with_finally(held))
    del held
    discard([coroutine])
    assert gone() is not None
    del coroutine
    assert gone() is None


def test_what_is_discarded_cannot_go_on():
    coroutine = suspended(with_finally())
    discard([coroutine])
    with pytest.raises(RuntimeError, match="already awaited"):
        coroutine.send(None)
    coroutine.close()


def test_what_runs_is_left_alone():
    went_on = []

    async def own():
        guard = manager()
        with guard:
            discard([coroutine])
        went_on.extend(ran)
        ran.clear()

    coroutine = own()
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
    assert went_on == ["finally of a manager"]


async def generator_that_waits():
    try:
        await pause()
        yield 1
    finally:
        ran.append("finally of a generator that waits")


@pytest.mark.parametrize(
    ("make", "awaiting"),
    [
        (with_finally, lambda inner: inner),
        (generator_that_waits, anext),
        (generator_that_waits, lambda inner: anext(inner, None)),
        (generator_that_waits, lambda inner: inner.asend(None)),
    ],
)
def test_what_is_waited_for_can_be_known_to_others(make, awaiting):
    """Nobody else can go on with it."""

    async def outer(inner):
        await awaiting(inner)

    inner = make()
    coroutine = suspended(outer(inner))
    discard([coroutine])
    del coroutine, inner
    gc.collect()
    assert ran == []


def test_what_somebody_else_uses_is_left_alone():
    shared = plain_generator()
    next(shared)
    registry = {"everybody": [suspended(with_finally()), shared]}
    lookup = types.SimpleNamespace(of=registry)

    async def user():
        mine, others = shared, lookup
        await pause()
        return mine, others

    coroutine = suspended(user())
    discard([coroutine])
    del coroutine
    gc.collect()
    assert ran == []
    # They are as they were.
    shared.close()
    registry["everybody"][0].close()
    assert ran == ["finally of a generator", "finally"]
    ran.clear()


def test_what_a_global_of_the_code_uses_is_left_alone():
    coroutine = suspended(uses_a_global())
    discard([coroutine])
    del coroutine
    gc.collect()
    assert next(COUNTER) == 2


async def uses_a_global():
    counter = COUNTER
    next(counter)
    await pause()
    return counter


def count():
    number = 0
    while True:
        number += 1
        yield number


COUNTER = count()


def test_a_frame_that_a_traceback_keeps():
    async def failing():
        try:
            fail()
        except LookupError as error:
            kept.append(error)
        try:
            await with_finally()
        finally:
            ran.append("outer")

    kept = []
    coroutine = suspended(failing())
    discard([coroutine])
    del coroutine
    gc.collect()
    assert ran == []
    assert kept[0].__traceback__.tb_frame.f_locals["kept"] is kept
    kept.clear()
    gc.collect()
    assert ran == []


def test_much_data_is_no_hindrance(monkeypatch):
    monkeypatch.setattr(discarding, "_MOST_OBJECTS", 1000)

    async def rich():
        with manager():
            data = [[n] for n in range(5000)]
            await pause()
            return data

    coroutine = suspended(rich())
    discard([coroutine])
    del coroutine
    gc.collect()
    assert ran == []


async def test_tasks_say_nothing():
    loop = asyncio.new_event_loop()
    said = []
    loop.set_exception_handler(lambda loop, context: said.append(context))

    async def waits(event):
        try:
            async with Manager():
                await event.wait()
        finally:
            ran.append("finally of a task")

    async def fails():
        raise LookupError("nobody asks")

    async def parent(event):
        async with asyncio.TaskGroup() as group:
            group.create_task(waits(event))
            forgotten = loop.create_task(waits(event))
            await asyncio.gather(waits(event), waits(event), return_exceptions=True)
            return forgotten

    event = asyncio.Event()
    tasks = [loop.create_task(parent(event)), loop.create_task(fails())]

    def drive():
        loop.call_later(0, loop.stop)
        for _ in range(5):
            loop.call_soon(loop.stop)
            loop.run_forever()
        return asyncio.all_tasks(loop)

    everything = await asyncio.to_thread(drive) | set(tasks)
    assert len(everything) == 6
    loop.close()
    discard(everything)
    del everything, tasks, event
    gc.collect()
    assert ran == []
    assert said == []


def test_without_knowing_this_python_everything_is_kept(monkeypatch):
    monkeypatch.setattr(frames._places, "_found", {})
    monkeypatch.setattr(discarding, "_kept", kept := [])
    coroutine = suspended(nested())
    discard([coroutine])
    references = sys.getrefcount(coroutine)
    kept.clear()
    assert sys.getrefcount(coroutine) == references - 1
    monkeypatch.undo()
    discard([coroutine])


EXIT = """
import sys, types
from hookd.workflows import discard as discarding, frames
if {known} is False:
    frames._places._found = {{}}

@types.coroutine
def pause():
    yield

async def code(cycle):
    cycle.append(cycle)
    try:
        try:
            await pause()
        finally:
            print("ran", flush=True)
    except BaseException:
        print("caught", flush=True)

kept = [code([]) for _ in range(3)]
for each in kept:
    each.send(None)
if {discards}:
    discarding.discard(kept)
if {forget}:
    del kept, each
print("end", flush=True)
"""


def at_exit(**options):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(EXIT).format(**options)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("forget", [True, False])
def test_at_the_exit_of_the_interpreter(known, forget):
    assert at_exit(known=known, forget=forget, discards=True) == (["end"], "")


def test_at_the_exit_it_would_run_otherwise():
    said, _ = at_exit(known=True, forget=False, discards=False)
    assert "ran" in said


def test_memory_stays_bounded():
    """10,000 discards of everything there is, with cycles, leave nothing behind."""

    async def code():
        data = bytearray(10_000)
        cycle = [data]
        cycle.append(cycle)
        async with async_manager():
            with manager():
                async for _ in stepwise():
                    await with_finally(data)

    def rounds(number):
        for _ in range(number):
            discard([suspended(code())])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = rounds(100)
        objects = len(gc.get_objects())
        after = rounds(10_000)
    finally:
        tracemalloc.stop()
    assert ran == []
    # Kept, they would take 100 MB and more.
    assert after - before < 1_000_000
    assert len(gc.get_objects()) - objects < 1000
