"""asyncio in workflow code: as it is elsewhere, and the same each time.

Each scenario is run by asyncio itself and in a workflow; what it returns must
be the same. Where it sleeps, it does so for moments that are far apart.
"""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from hookd.workflows.timers import sleep

from tests.unit.runtime.story import play

Sleep = Callable[[float], Awaitable[None]]
SCENARIOS: list[Callable[[Sleep], Awaitable[object]]] = []
MOMENT = 0.02


def scenario(function):
    SCENARIOS.append(function)
    return function


@scenario
async def gather_keeps_the_order_of_its_arguments(sleep: Sleep):
    async def say(word, moments):
        await sleep(moments)
        return word

    return await asyncio.gather(say("a", 3), say("b", 1), say("c", 2))


@scenario
async def gather_with_an_exception(sleep: Sleep):
    log = []

    async def fail():
        await sleep(1)
        raise ValueError("no")

    async def other():
        await sleep(2)
        log.append("other went on")

    try:
        await asyncio.gather(fail(), task := asyncio.create_task(other()))
    except ValueError as error:
        log.append(str(error))
    await task
    both = await asyncio.gather(fail(), asyncio.sleep(0, "x"), return_exceptions=True)
    return log, [repr(each) for each in both]


@scenario
async def gather_is_cancelled(sleep: Sleep):
    log = []

    async def child(name):
        try:
            await sleep(5)
        except asyncio.CancelledError:
            log.append(name)
            raise

    outer = asyncio.gather(child("a"), child("b"))
    await asyncio.sleep(0)
    outer.cancel()
    try:
        await outer
    except asyncio.CancelledError:
        log.append("outer")
    return log


@scenario
async def wait_in_all_ways(sleep: Sleep):
    async def say(word, moments):
        await sleep(moments)
        if word == "bad":
            raise ValueError
        return word

    found = []
    for how in (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED):
        tasks = [
            asyncio.create_task(say(word, moments), name=word)
            for word, moments in (("a", 1), ("bad", 3), ("c", 5))
        ]
        done, pending = await asyncio.wait(tasks, return_when=how)
        found.append([sorted(t.get_name() for t in each) for each in (done, pending)])
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


@scenario
async def wait_with_a_timeout(sleep: Sleep):
    fast, slow = asyncio.create_task(sleep(1)), asyncio.create_task(sleep(9))
    done, pending = await asyncio.wait([fast, slow], timeout=4 * MOMENT)
    assert (done, pending) == ({fast}, {slow})
    slow.cancel()
    done, pending = await asyncio.wait([slow])
    return [len(done), len(pending), slow.cancelled()]


@scenario
async def wait_for_in_time_and_too_late(sleep: Sleep):
    async def say():
        await sleep(2)
        return "said"

    found = [await asyncio.wait_for(say(), 20 * MOMENT)]
    try:
        await asyncio.wait_for(say(), MOMENT)
    except TimeoutError:
        found.append("late")
    try:
        await asyncio.wait_for(say(), 0)
    except TimeoutError:
        found.append("at once")
    return found


@scenario
async def timeouts_within_timeouts(sleep: Sleep):
    log = []
    try:
        async with asyncio.timeout(8 * MOMENT) as outer:
            try:
                async with asyncio.timeout(2 * MOMENT) as inner:
                    await sleep(30)
            except TimeoutError:
                log.append(["inner", inner.expired(), outer.expired()])
            await sleep(30)
    except TimeoutError:
        log.append(["outer", outer.expired()])
    async with asyncio.timeout(None):
        await asyncio.sleep(0)
    async with asyncio.timeout(20 * MOMENT) as kept:
        kept.reschedule(None)
        await sleep(1)
    try:
        async with asyncio.timeout(0):
            await sleep(1)
    except TimeoutError:
        log.append("zero")
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 20 * MOMENT):
        await sleep(1)
    return log


@scenario
async def a_task_group_that_works(sleep: Sleep):
    async def say(word, moments):
        await sleep(moments)
        return word

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(say(*each)) for each in (("a", 2), ("b", 1))]
    return [task.result() for task in tasks]


@scenario
async def a_task_group_that_fails(sleep: Sleep):
    log = []

    async def fail(moments):
        await sleep(moments)
        raise ValueError(moments)

    async def endure(name):
        try:
            await sleep(9)
        finally:
            log.append(name)

    try:
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(endure(name))
            group.create_task(fail(1))
            await sleep(20)
    except* ValueError as errors:
        log.append([str(error) for error in errors.exceptions])
    return sorted(log[:-1]), log[-1]


@scenario
async def a_shield_holds(sleep: Sleep):
    log = []

    async def work():
        await sleep(2)
        log.append("done")

    inner = asyncio.create_task(work())
    outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), MOMENT))
    try:
        await outer
    except TimeoutError:
        log.append("late")
    await inner
    return log


@scenario
async def cancelling_tasks(sleep: Sleep):
    log = []

    async def stubborn():
        try:
            await sleep(9)
        except asyncio.CancelledError as error:
            log.append(["caught", error.args])
        await sleep(1)
        return "went on"

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    assert task.cancel("why")
    log.append([task.cancelling(), await task, task.cancelled()])

    never_begun = asyncio.create_task(stubborn())
    never_begun.cancel()
    try:
        await never_begun
    except asyncio.CancelledError:
        log.append(["never begun", never_begun.cancelled()])

    me = asyncio.current_task()
    me.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append(["me", me.cancelling(), me.uncancel()])
    return log


@scenario
async def events_and_locks(sleep: Sleep):
    log = []
    event, lock = asyncio.Event(), asyncio.Lock()

    async def waiter(name):
        await event.wait()
        async with lock:
            log.append(name)
            await sleep(1)

    tasks = [asyncio.create_task(waiter(n)) for n in range(3)]
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(*tasks)
    return log


@scenario
async def semaphores_and_conditions(sleep: Sleep):
    log = []
    most, now = 0, 0
    semaphore, condition = asyncio.BoundedSemaphore(2), asyncio.Condition()

    async def worker(name):
        nonlocal most, now
        async with semaphore:
            now += 1
            most = max(most, now)
            await sleep(1)
            now -= 1
        async with condition:
            log.append(name)
            condition.notify_all()

    tasks = [asyncio.create_task(worker(n)) for n in range(5)]
    async with condition:
        await condition.wait_for(lambda: len(log) == 5)
    await asyncio.gather(*tasks)
    return most, log


@scenario
async def queues(sleep: Sleep):
    log = []
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

    async def produce():
        for number in range(6):
            await queue.put(number)

    async def consume(name):
        while True:
            log.append((name, await queue.get()))
            await sleep(1)
            queue.task_done()

    consumers = [asyncio.create_task(consume(n)) for n in "ab"]
    await produce()
    await queue.join()
    for consumer in consumers:
        consumer.cancel()
    ordered = asyncio.PriorityQueue()
    for number in (3, 1, 2):
        ordered.put_nowait(number)
    return sorted(n for _, n in log), [await ordered.get() for _ in range(3)]


@scenario
async def barriers(sleep: Sleep):
    barrier = asyncio.Barrier(3)

    async def party(moments):
        await sleep(moments)
        return await barrier.wait()

    return sorted(await asyncio.gather(*(party(n) for n in range(3))))


@scenario
async def call_soon_and_later(sleep: Sleep):
    log = []
    loop = asyncio.get_running_loop()
    loop.call_later(3 * MOMENT, log.append, "later")
    dropped = loop.call_later(2 * MOMENT, log.append, "dropped")
    loop.call_at(loop.time() + MOMENT, log.append, "at")
    loop.call_soon(log.append, "soon")
    gone = loop.call_soon(log.append, "gone")
    gone.cancel()
    dropped.cancel()
    await sleep(5)
    return log, dropped.cancelled()


@scenario
async def context_variables(sleep: Sleep):
    name = contextvars.ContextVar("name", default="none")
    log = []

    async def child():
        log.append(name.get())
        name.set("child")
        await sleep(1)
        log.append(name.get())

    name.set("parent")
    task = asyncio.create_task(child())
    name.set("changed")
    await task
    empty = contextvars.Context()
    await asyncio.create_task(child(), context=empty)
    log.append(name.get())
    asyncio.get_running_loop().call_soon(lambda: log.append(name.get()))
    await asyncio.sleep(0)
    return log, empty[name]


@scenario
async def async_generators(sleep: Sleep):
    log = []

    async def numbers():
        try:
            for number in range(5):
                await sleep(1)
                yield number
        finally:
            await sleep(1)
            log.append("closed")

    @asynccontextmanager
    async def room():
        log.append("in")
        try:
            yield
        finally:
            await sleep(1)
            log.append("out")

    async with room(), aclosing(numbers()) as some:
        async for number in some:
            log.append(number)
            if number == 2:
                break
    log.append([number async for number in numbers()])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(room())
        stack.callback(log.append, "callback")
    return log


@scenario
async def as_completed(sleep: Sleep):
    async def say(word, moments):
        await sleep(moments)
        return word

    words = [("a", 3), ("b", 1), ("c", 5)]
    found = [await each for each in asyncio.as_completed([say(*word) for word in words])]
    try:
        for each in asyncio.as_completed([say("late", 30)], timeout=MOMENT):
            await each
    except TimeoutError:
        found.append("timeout")
    return found


@scenario
async def futures(sleep: Sleep):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    log = []
    future.add_done_callback(lambda done: log.append(done.result()))
    loop.call_soon(future.set_result, 1)
    log.append(await future)
    broken = loop.create_future()
    broken.set_exception(KeyError("k"))
    with pytest.raises(KeyError):
        await broken
    task = asyncio.ensure_future(future)
    assert task is future
    return log


@scenario
async def tasks_know_themselves(sleep: Sleep):
    me = asyncio.current_task()
    assert me in asyncio.all_tasks()

    async def child():
        return asyncio.current_task().get_name()

    task = asyncio.create_task(child(), name="kid")
    assert asyncio.all_tasks() == {me, task}
    name = await task
    assert asyncio.all_tasks() == {me}
    assert asyncio.current_task() is me
    assert task.get_loop() is asyncio.get_running_loop() is asyncio.get_event_loop()
    return name


@scenario
async def a_task_factory(sleep: Sleep):
    loop = asyncio.get_running_loop()
    made = []

    def factory(loop, coro, **kwargs):
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def child():
        return 1

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    value = await asyncio.create_task(child())
    loop.set_task_factory(None)
    return value, made


@scenario
async def careless_handlers(sleep: Sleep):
    log = []

    async def careless():
        while len(log) < 3:
            try:
                await sleep(9)
            except BaseException as error:  # noqa: BLE001 - that is the point
                log.append(type(error).__name__)
        return "ended"

    task = asyncio.create_task(careless())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    return await task, log


@pytest.mark.parametrize("function", SCENARIOS, ids=lambda function: function.__name__)
def test_it_is_as_in_asyncio(function):
    async def real_sleep(moments: float) -> None:
        await asyncio.sleep(moments * MOMENT)

    async def durable_sleep(moments: float) -> None:
        await sleep(moments * MOMENT)

    results = []

    async def w():
        results.append(await function(durable_sleep))

    story = play(w)
    assert story.result is None
    assert all(result == results[0] for result in results)
    assert results[0] == asyncio.run(function(real_sleep))
    assert story.live.take_warnings() == []


if sys.version_info >= (3, 12):

    def test_eager_tasks():
        async def w():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            log = []

            async def child():
                log.append("child")
                await sleep(1)
                return 1

            task = asyncio.create_task(child())
            log.append("parent")
            return log, await task

        assert play(w).result == [["child", "parent"], 1]


async def test_the_loop_around_is_left_as_it_was():
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    seen = []

    async def w():
        seen.append((asyncio.get_running_loop(), asyncio.current_task()))
        await asyncio.sleep(0)

    before = sys.get_asyncgen_hooks()
    play(w)
    assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, task)
    assert sys.get_asyncgen_hooks() == before
    assert all(each[0] is not loop and each[1] is not task for each in seen)
    await asyncio.sleep(0)


async def test_all_tasks_elsewhere_are_those_of_the_loop_there():
    assert asyncio.all_tasks() == {asyncio.current_task()}
