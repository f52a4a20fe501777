"""What workflow code must not do, and how it can end."""

import asyncio
import gc
import threading

import pytest
from hookd.workflows.definition import step, workflow
from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.hooks import create_hook
from hookd.workflows.loop import WorkflowLoop
from hookd.workflows.timers import sleep

from tests.unit.runtime.story import Story, execution_of

# Tasks that nobody keeps, on purpose.
spawn = asyncio.create_task


@step
async def double(number: int) -> int:
    return number * 2


async def test_real_sleeping_is_refused_with_a_hint():
    async def w():
        await asyncio.sleep(0)
        try:
            await asyncio.sleep(5)
        except WorkflowRuleError as error:
            return [str(error), error.call]

    text, call = Story(w).result
    assert "hookd.sleep" in text
    assert call == "asyncio.sleep()"


async def test_uncaught_a_broken_rule_fails_the_run():
    async def w():
        await asyncio.sleep(1)

    failure = Story(w).failure
    assert failure.type == "WorkflowRuleError"
    assert "hookd.sleep" in failure.message


@pytest.mark.parametrize(
    "call",
    [
        lambda loop: asyncio.to_thread(int),
        lambda loop: loop.run_in_executor(None, int),
        lambda loop: asyncio.open_connection("127.0.0.1", 1),
        lambda loop: asyncio.start_server(print, "127.0.0.1", 0),
        lambda loop: asyncio.create_subprocess_exec("true"),
        lambda loop: asyncio.create_subprocess_shell("true"),
        lambda loop: loop.add_signal_handler(1, print),
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.sock_recv(None, 1),
        lambda loop: loop.getaddrinfo("localhost", 1),
        lambda loop: loop.call_soon_threadsafe(print),
        lambda loop: loop.run_until_complete(None),
        lambda loop: loop.run_forever(),
        lambda loop: loop.stop(),
        lambda loop: loop.close(),
        lambda loop: loop.set_exception_handler(print),
        lambda loop: loop.set_debug(True),
    ],
)
async def test_the_world_outside_is_refused(call):
    async def w():
        try:
            await call(asyncio.get_running_loop())
        except WorkflowRuleError as error:
            return str(error)

    text = Story(w).result
    assert "step" in text or "belongs to the worker" in text


def test_nothing_of_a_loop_is_left_unanswered():
    base = {name for name in dir(asyncio.AbstractEventLoop) if not name.startswith("_")}
    missing = {
        name
        for name in base
        if getattr(WorkflowLoop, name) is getattr(asyncio.AbstractEventLoop, name)
    }
    assert missing == set()


async def test_a_loop_within_the_loop_is_refused():
    async def w():
        with pytest.raises(RuntimeError, match="running event loop"):
            asyncio.run(asyncio.sleep(0))

    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert Story(w, replays=False).result is None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["main", "task", "callback"])
async def test_exits_fail_the_run_and_nothing_else(error, where):
    async def leave():
        raise error

    def call():
        raise error

    async def w():
        if where == "main":
            raise error
        if where == "task":
            task = asyncio.create_task(leave())
        else:
            asyncio.get_running_loop().call_soon(call)
        await sleep(1)
        return task

    failure = Story(w).failure
    assert failure.type == "WorkflowRuleError"
    assert type(error).__name__ in failure.message


async def test_a_workflow_that_cancels_itself():
    async def w():
        asyncio.current_task().cancel()
        await sleep(1)

    failure = Story(w).failure
    assert failure.type == "WorkflowRuleError"
    assert "cancelled itself" in failure.message


async def test_a_workflow_that_raises_cancelled_error():
    async def w():
        raise asyncio.CancelledError

    assert "cancelled itself" in Story(w).failure.message


@pytest.mark.parametrize("kind", [GeneratorExit, BaseException, StopAsyncIteration])
async def test_odd_exceptions_fail_the_run(kind):
    async def w():
        raise kind("odd")

    failure = Story(w).failure
    assert (failure.type, failure.message) == (kind.__name__, "odd")


async def test_careless_handlers_break_nothing():
    async def w():
        caught = []
        hook = create_hook(token="t")
        for _ in range(3):
            try:
                async with asyncio.timeout(1):
                    try:
                        await hook
                    except BaseException as error:  # noqa: BLE001 - that is the point
                        caught.append(type(error).__name__)
            except TimeoutError:
                caught.append("TimeoutError")
        return [*caught, await hook]

    story = Story(w).advance(1).advance(1).advance(1)
    # As in asyncio, who swallows a CancelledError is not told of the timeout.
    names = story.payload("t", "p").settle().result
    assert names[-1] == "p"
    assert names.count("CancelledError") == 3


async def test_results_that_cannot_be_carried_fail_the_run():
    async def w():
        return object()

    failure = Story(w).failure
    assert failure.type == "InvalidArgumentError"
    assert "result" in failure.message


async def test_a_result_that_is_not_what_the_annotation_says():
    @workflow
    async def liar() -> int:
        return "text"

    assert "result" in Story(liar).failure.message


async def test_input_that_does_not_fit_fails_the_run():
    @workflow
    async def adder(a: int, b: int) -> int:
        return a + b

    assert Story(adder, 1, 2).result == 3
    assert "adder" in Story(adder, 1).failure.message
    assert '"b"' in Story(adder, 1, "two").failure.message
    assert Story(adder).failure.type == "InvalidArgumentError"


class TestForgottenTasks:
    async def test_they_are_listed_and_never_finished(self):
        log = []

        async def forgotten():
            try:
                await sleep(60)
            finally:
                log.append("must not be")

        async def w():
            spawn(forgotten(), name="first")
            spawn(double(1))
            await asyncio.sleep(0)
            spawn(forgotten())  # Not even begun.
            return "done"

        story = Story(w)
        assert story.result == "done"
        names = story.live.forgotten_tasks
        assert [name.partition(" ")[0] for name in names] == ["first", "Task-3", "Task-4"]
        assert all("test_rules.py:" in name for name in names)
        del story
        gc.collect()
        assert log == []

    async def test_a_run_without_any(self):
        async def w():
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

        assert Story(w).live.forgotten_tasks == []

    async def test_what_they_would_have_asked_for_is_not_asked_for(self):
        async def late():
            await asyncio.sleep(0)
            await double(1)

        async def w():
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
            return task.done()

        assert Story(w).kinds == ["run_completed"]


class TestWhatNobodyHandled:
    async def test_an_exception_of_a_task(self, capsys):
        async def fail():
            raise ValueError("oh no")

        async def w():
            spawn(fail())
            await sleep(1)
            gc.collect()
            await sleep(1)

        story = Story(w, replays=False).advance(1)
        story.advance(1)
        gc.collect()
        (warning,) = story.live.take_warnings()
        assert "never retrieved" in warning
        assert "ValueError: oh no" in warning
        assert story.live.take_warnings() == []
        assert capsys.readouterr().err == ""

    async def test_an_exception_of_a_task_that_is_still_held_at_the_end(self):
        async def fail():
            raise ValueError("oh no")

        kept = []

        async def w():
            kept.append(asyncio.create_task(fail(), name="held"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        story = Story(w, replays=False)
        (warning,) = story.live.take_warnings()
        assert "held" in warning
        assert "test_rules.py" in warning

    async def test_an_exception_of_a_callback(self):
        def fail():
            raise ValueError("oh no")

        async def w():
            asyncio.get_running_loop().call_soon(fail)
            await asyncio.sleep(0)
            return "went on"

        story = Story(w)
        assert story.result == "went on"
        (warning,) = story.live.take_warnings()
        assert "oh no" in warning

    async def test_a_generator_that_is_left(self):
        log = []

        async def numbers():
            try:
                yield 1
                yield 2
            finally:
                log.append("must not be")

        async def w():
            async for number in numbers():
                if number == 1:
                    break
            await sleep(1)
            return "went on"

        story = Story(w).advance(1)
        assert story.result == "went on"
        (warning,) = story.live.take_warnings()
        assert "numbers" in warning
        assert "aclosing" in warning
        assert log == []


async def test_as_completed_that_was_imported_before():
    from hookd.workflows.ordering import _as_completed

    async def w():
        with pytest.raises(WorkflowRuleError, match="as_completed"):
            next(iter(_as_completed([double(1), double(2)])))
        tasks = [asyncio.create_task(double(n)) for n in range(2)]
        return [await each for each in _as_completed(tasks)]

    story = Story(w)
    for number in range(2):
        story.complete("double", number)
    assert story.settle().result == [0, 1]


async def test_where_the_code_stands():
    async def inner():
        await create_hook(token="t")

    async def w():
        spawn(inner(), name="helper")
        await asyncio.gather(double(1), double(2))

    story = Story(w)
    text = story.live.stack()
    assert "Task w" in text
    assert "helper" in text
    assert "await asyncio.gather(double(1), double(2))" in text
    assert 'await create_hook(token="t")' in text


async def test_where_running_code_stands():
    begun, end = threading.Event(), threading.Event()

    async def w():
        begun.set()
        end.wait()

    source = Story(anything, replays=False)
    execution = execution_of(workflow(w))
    thread = threading.Thread(target=execution.feed, args=(source.events[:2],))
    thread.start()
    begun.wait()
    text = execution.stack()
    end.set()
    thread.join()
    assert "It is running" in text
    assert "end.wait()" in text


async def anything():
    await sleep(1)
