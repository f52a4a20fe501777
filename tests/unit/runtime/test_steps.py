"""Steps, as workflow code calls them."""

import asyncio
import functools
import gc

import pytest
from hookd.errors import InvalidArgumentError
from hookd.v1 import events_pb2
from hookd.workflows.definition import RetryPolicy, step
from hookd.workflows.errors import StepFailedError, WorkflowRuleError
from hookd.workflows.hooks import create_hook
from hookd.workflows.timers import sleep

from tests.unit.runtime.story import Story, execution_of, play


@step
async def double(number: int) -> int:
    return number * 2


@step(name="shop.charge", max_retries=5)
def charge(amount: float, *, currency: str = "EUR") -> tuple[float, str]:
    return amount, currency


async def test_steps_in_sequence():
    async def w(number: int):
        first = await double(number)
        return [first, await double(first)]

    story = Story(w, 2)
    assert story.kinds == ["step_scheduled"]
    story.complete("step-1", 4).settle()
    story.complete("step-2", 8).settle()
    assert story.result == [4, 8]


async def test_what_the_daemon_is_told():
    async def w():
        await charge(1.5, currency="USD")

    execution = execution_of(Story(w).workflow)
    execution.feed(Story(w).events[:2])
    (command,) = execution.commands()
    scheduled = command.schedule_step
    assert (scheduled.step_id, scheduled.name) == ("step-1", "shop.charge")
    assert scheduled.retry == RetryPolicy(max_retries=5).to_wire()
    assert charge.signature.decode_call(scheduled.input) == ([1.5], {"currency": "USD"})


async def test_results_have_the_type_that_the_step_says():
    async def w():
        value = await charge(1)
        return [isinstance(value, tuple), value]

    assert Story(w).complete("shop.charge", [1, "EUR"]).settle().result == [True, [1, "EUR"]]


async def test_parallel_steps_are_scheduled_in_one_turn():
    async def w():
        return await asyncio.gather(*(double(n) for n in range(100)))

    story = Story(w, replays=False)
    assert story.turns == 1
    assert len(story.steps) == 100
    for number in reversed(range(100)):
        story.complete(f"step-{number + 1}", number * 2)
    assert story.settle().result == [n * 2 for n in range(100)]


async def test_nothing_happens_before_a_call_is_awaited():
    async def w():
        first, second = double(1), double(2)
        await sleep(1)
        return [await second, await first]

    story = Story(w)
    assert story.kinds == ["timer_started"]
    assert story.go_on({"double": lambda n: n * 2}).result == [4, 2]


async def test_a_call_is_a_coroutine_for_asyncio():
    async def w():
        found = [
            await asyncio.create_task(double(1)),
            await asyncio.wait_for(double(2), 60),
            await asyncio.shield(double(3)),
            await asyncio.ensure_future(double(4)),
        ]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(double(5), name="five")
        done, _ = await asyncio.wait([asyncio.create_task(double(6))])
        found += [await each for each in asyncio.as_completed([double(7)])]
        call = double(8)
        assert asyncio.iscoroutine(call)
        assert "double" in repr(asyncio.ensure_future(call))
        return [*found, task.result(), done.pop().result()]

    assert play(w, steps={"double": lambda n: n * 2}).result == [2, 4, 6, 8, 14, 10, 12]


async def test_a_call_can_be_awaited_once():
    async def w():
        call = double(1)
        first = await call
        with pytest.raises(RuntimeError, match="awaited before"):
            await call
        return first

    assert Story(w).complete("double", 2).settle().result == 2


async def test_the_exception_of_a_step_is_raised():
    async def w():
        try:
            await double(1)
        except KeyError as error:
            return [error.args[0], type(error.__cause__).__name__, error.__cause__.attempt]

    story = Story(w).fail("double", KeyError("k")).settle()
    assert story.result == ["k", "StepFailedError", 4]


async def test_an_exception_that_is_not_known_here():
    class Odd(Exception):
        pass

    async def w():
        with pytest.raises(StepFailedError, match="Odd: oh") as failed:
            await double(1)
        return failed.value.step_name

    assert Story(w).fail("double", Odd("oh")).settle().result == "double"


async def test_an_exception_that_nobody_catches_fails_the_run():
    async def w():
        await double(1)

    story = Story(w).fail("double", ValueError("no")).settle()
    assert (story.failure.type, story.failure.message) == ("ValueError", "no")


async def test_an_argument_that_cannot_be_carried_is_named():
    async def w():
        with pytest.raises(InvalidArgumentError, match=r'double.*"number"'):
            await double(object())
        with pytest.raises(TypeError, match="double"):
            await double()
        return 1

    story = Story(w)
    assert story.result == 1
    assert story.kinds == ["run_completed"]


async def test_a_result_that_does_not_fit_is_an_error_of_the_wait():
    async def w():
        with pytest.raises(InvalidArgumentError, match="double"):
            await double(1)

    assert Story(w).complete("double", "text").settle().result is None


class TestCancelling:
    async def test_who_is_cancelled_cancels_the_step(self):
        async def w():
            task = asyncio.create_task(double(1))
            await create_hook(token="stop")
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return "cancelled"

        story = Story(w).payload("stop", None).settle()
        assert story.result == "cancelled"
        assert story.kinds[2:] == ["step_cancelled", "run_completed"]
        assert not story.steps

    async def test_a_deadline_cancels_the_step(self):
        async def w():
            try:
                async with asyncio.timeout(5):
                    await double(1)
            except TimeoutError:
                return "late"

        story = Story(w).advance(5)
        assert story.result == "late"
        assert story.kinds == ["timer_started", "step_scheduled", "step_cancelled", "run_completed"]

    async def test_a_shielded_step_goes_on(self):
        async def w():
            call = asyncio.ensure_future(double(1))
            try:
                await asyncio.wait_for(asyncio.shield(call), 5)
            except TimeoutError:
                return await call

        story = Story(w).advance(5)
        assert "step_cancelled" not in story.kinds
        assert story.complete("double", 2).settle().result == 2

    async def test_a_result_that_comes_before_the_cancel_reaches_the_daemon(self):
        async def w():
            task = asyncio.create_task(double(1))
            await create_hook(token="stop")
            task.cancel()
            return [await asyncio.gather(task, return_exceptions=True) != [], await double(2)]

        story = Story(w).payload("stop", None)
        # The code has asked for the cancel; the result was faster.
        story.complete("step-1", 2).settle()
        assert story.last("step_cancelled").step_cancelled.already_ended
        assert story.complete("step-2", 4).settle().result == [True, 4]

    async def test_one_that_ended_is_not_cancelled(self):
        async def w():
            async with asyncio.TaskGroup() as group:
                task = group.create_task(double(1))
                await task
                task.cancel()
            return task.result()

        story = Story(w).complete("double", 2).settle()
        assert story.kinds == ["step_scheduled", "run_completed"]

    async def test_one_that_was_never_sent_leaves_no_trace(self):
        async def w():
            task = asyncio.create_task(double(1))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return await double(2)

        story = Story(w)
        assert story.kinds == ["step_scheduled"]
        assert story.complete("step-2", 4).settle().result == 4

    async def test_one_that_another_worker_may_have_sent_is_cancelled(self):
        async def w():
            task = asyncio.create_task(double(1))
            await create_hook(token="stop")
            task.cancel()
            await sleep(1)

        # The payload comes before this worker has sent anything.
        story = Story(w, claims=["stop"], begin=False)
        story.append(run_started=events_pb2.RunStarted())
        story.payload("stop", None).settle()
        assert story.kinds == ["step_scheduled", "timer_started", "step_cancelled"]

    async def test_a_task_that_never_began_schedules_nothing(self):
        async def w():
            task = asyncio.create_task(double(1))
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        story = Story(w)
        assert story.result is True
        assert story.live.take_warnings() == []


async def test_a_call_that_is_never_awaited_is_told():
    async def w():
        double(1)
        await sleep(1)

    story = Story(w)
    (warning,) = story.live.take_warnings()
    assert '"double"' in warning
    assert "test_steps.py:" in warning
    assert "never awaited" in warning


async def test_calls_that_wait_for_their_turn_are_no_mistake():
    async def w():
        calls = [double(n) for n in range(3)]
        return [await call for call in calls]

    for end in (lambda story: story.live.discard(), lambda story: story.cancel()):
        story = Story(w, replays=False)
        end(story)
        gc.collect()
        assert story.live.take_warnings() == []


async def test_outside_of_a_workflow_a_step_is_a_function():
    assert await double(2) == 4
    assert charge(1.0) == (1.0, "EUR")


async def test_a_step_given_away_belongs_to_its_run():
    kept = []

    async def keeper():
        kept.append(double(1))
        await sleep(1)

    async def thief():
        with pytest.raises(WorkflowRuleError, match="run-1"):
            await kept[0]

    Story(keeper, replays=False)
    assert Story(thief, run_id="run-2", replays=False).result is None


async def test_partials_and_maps():
    async def w():
        return await asyncio.gather(*map(functools.partial(double), [1, 2]))

    assert play(w, steps={"double": lambda n: n * 2}).result == [2, 4]
