"""Sleeping and deadlines."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest
from hookd.durations import seconds
from hookd.errors import InvalidArgumentError
from hookd.workflows.deterministic import now
from hookd.workflows.errors import OutsideWorkflowError
from hookd.workflows.hooks import create_hook
from hookd.workflows.timers import sleep
from hookd.workflows.times import wire_duration, wire_time

from tests.unit.runtime.story import START, Story, execution_of, play


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("2d", 172_800),
        ("1.5h", 5400),
        (" 1h 30 m ", 5400),
        ("2 days", 172_800),
        ("1 Week", 604_800),
        ("90 seconds", 90),
        ("1hour 1min 1sec 1 millisecond", 3661.001),
        (5, 5),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
    ],
)
def test_durations(text, length):
    assert seconds(text, "duration") == pytest.approx(length)


@pytest.mark.parametrize(
    "wrong",
    ["", "h", "1", "1x", "-1s", "1h-", "1,5h", "h1", -1, math.nan, math.inf, None, True, "1h x"],
)
def test_no_durations(wrong):
    with pytest.raises(InvalidArgumentError, match="duration"):
        seconds(wrong, "duration")


def test_timers_are_rounded_up_to_what_the_daemon_counts():
    assert wire_duration(0.0001).ToMilliseconds() == 1
    assert wire_duration(0.1).ToMilliseconds() == 100
    assert wire_duration(1.1).ToMilliseconds() == 1100
    late = datetime(2024, 1, 1, 0, 0, 59, 999_001, tzinfo=UTC)
    assert wire_time(late, "at").ToMilliseconds() == late.timestamp() // 1 * 1000 + 1000


async def test_sleeping_in_sequence_and_in_parallel():
    async def w():
        begun = now()
        await sleep(1)
        await sleep("1m")
        await sleep(timedelta(hours=1))
        await asyncio.gather(sleep(10), sleep(20))
        return (now() - begun).total_seconds()

    story = Story(w, replays=False)
    assert len(story.timers) == 1
    story.advance(1 + 60 + 3600 + 20 + 1)
    assert 3681 <= story.result < 3682


async def test_sleeping_until_a_time():
    wanted = datetime.fromtimestamp(START / 1000 + 600, tz=UTC).astimezone()

    async def w():
        await sleep(wanted)
        return now() >= wanted

    execution = execution_of(Story(w).workflow)
    execution.feed(Story(w).events[:2])
    assert execution.commands()[0].start_timer.at.ToMilliseconds() == START + 600_000
    assert Story(w).advance(600).result is True


async def test_what_is_over_is_not_waited_for():
    async def w():
        log = []
        asyncio.get_running_loop().call_soon(log.append, "others have their turn")
        await sleep(0)
        await sleep(datetime(2000, 1, 1, tzinfo=UTC))
        await sleep(timedelta(0))
        return log

    story = Story(w)
    assert story.result == ["others have their turn"]
    assert story.kinds == ["run_completed"]


async def test_wrong_times():
    async def w():
        with pytest.raises(InvalidArgumentError, match="time zone"):
            await sleep(datetime(2030, 1, 1))
        for wrong in ("soon", -1, None, math.inf):
            with pytest.raises(InvalidArgumentError, match="duration"):
                await sleep(wrong)
        return 1

    assert Story(w).result == 1


async def test_outside_of_a_workflow():
    with pytest.raises(OutsideWorkflowError, match=r"asyncio\.sleep"):
        await sleep(1)


async def test_who_is_cancelled_takes_the_timer_back():
    async def w():
        task = asyncio.create_task(sleep(60))
        await create_hook(token="t")
        task.cancel()
        await asyncio.wait([task])

    story = Story(w).payload("t", 1).settle()
    assert story.kinds == ["hook_created", "timer_started", "timer_cancelled", "run_completed"]
    assert not story.timers


async def test_a_timer_that_fires_when_it_is_taken_back():
    async def w():
        task = asyncio.create_task(sleep(60))
        await create_hook(token="t")
        task.cancel()
        await asyncio.wait([task])
        await sleep(5)
        return task.cancelled()

    story = Story(w).payload("t", 1)
    story.fire("timer-1").settle()
    assert story.last("timer_cancelled").timer_cancelled.already_fired
    assert story.advance(5).result is True


async def test_a_race_of_a_hook_and_a_deadline():
    async def w():
        hook = create_hook(token="approval")
        try:
            async with asyncio.timeout(3600):
                return await hook
        except TimeoutError:
            return "nobody answered"

    assert Story(w).advance(3600).result == "nobody answered"
    approved = Story(w).payload("approval", "yes").settle()
    assert approved.result == "yes"
    assert approved.kinds[-2:] == ["timer_cancelled", "run_completed"]


async def test_a_deadline_that_is_not_needed_costs_no_events():
    async def w():
        lock = asyncio.Lock()
        for _ in range(3):
            async with asyncio.timeout(60), lock:
                await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.sleep(0, "x"), 5)

    story = Story(w)
    assert story.result == "x"
    assert story.kinds == ["run_completed"]


async def test_a_deadline_after_an_event_is_taken_back_with_one():
    async def w():
        hook = create_hook(token="t")
        async with asyncio.timeout(60):
            await hook
        await sleep(1)

    # No turn is completed between the start of the timer and its end.
    story = Story(w, claims=["t"], begin=False)
    story.payload("t", 1)
    story.begin()
    assert story.kinds == ["timer_started"]  # That of the sleep: the payload was there.

    story = Story(w)
    commands = [command.WhichOneof("command") for command in story.live.commands()]
    assert commands == []
    story.payload("t", 1)
    commands = [command.WhichOneof("command") for command in story.live.commands()]
    assert commands == ["cancel_timer", "start_timer"]


async def test_deadlines_without_end_need_no_timer():
    async def w():
        async with asyncio.timeout(math.inf):
            return await create_hook(token="t")

    story = Story(w).payload("t", 1).settle()
    assert story.kinds == ["hook_created", "run_completed"]


async def test_the_time_of_the_loop_is_that_of_the_log():
    async def w():
        loop = asyncio.get_running_loop()
        assert loop.time() == now().timestamp()
        before = loop.time()
        await sleep(10)
        return loop.time() - before

    assert play(w).result >= 10
