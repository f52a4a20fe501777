"""What feeding costs does not depend on how long the log is."""

import gc
import sys

from hookd.workflows.definition import step
from hookd.workflows.hooks import create_hook
from hookd.workflows.timers import sleep

from tests.unit.runtime.story import Story, execution_of


@step
async def double(number: int) -> int:
    return number * 2


async def agent(rounds: int) -> int:
    total = 0
    hook = create_hook(token="t")
    for number in range(rounds):
        total += await double(number)
        await sleep(1)
        total += await hook
    return total


def calls_of(work) -> int:
    """Counts the calls of Python functions: the same on every machine."""
    count = 0

    def count_call(frame, event, arg):
        nonlocal count
        count += event == "call"

    # What the collector calls belongs to others.
    gc.disable()
    sys.setprofile(count_call)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def test_an_event_costs_the_same_at_the_end_of_a_long_log():
    rounds = 800
    story = Story(agent, rounds, replays=False)

    def one_round():
        story.complete("double", 1).settle()
        story.advance(1)
        story.payload("t", 1).settle()

    counts = [calls_of(one_round) for _ in range(rounds)]
    assert len(story.events) > 4000
    # The last round ends the run and does another thing.
    early, late = counts[10:60], counts[-60:-10]
    assert sorted(late)[25] == sorted(early)[25]
    assert max(late) <= max(early) * 2


def test_a_replay_costs_as_much_as_the_first_time():
    story = Story(agent, 200, replays=False)
    for _ in range(199):
        story.complete("double", 1).settle().advance(1).payload("t", 1).settle()

    def replay(count: int) -> int:
        execution = execution_of(story.workflow)
        return calls_of(lambda: execution.feed(story.events[:count]))

    half, whole = replay(len(story.events) // 2), replay(len(story.events))
    assert abs(whole - 2 * half) < half / 10
