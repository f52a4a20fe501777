"""Code that does not do what the log of its run says."""

import pytest
from hookd import start
from hookd.v1 import events_pb2
from hookd.workflows.definition import step, workflow
from hookd.workflows.errors import NonDeterminismError
from hookd.workflows.hooks import create_hook
from hookd.workflows.metadata import set_attributes
from hookd.workflows.timers import sleep
from hookd.workflows.writable import get_writable

from tests.unit.runtime.story import Story, execution_of


@step
async def charge(amount: int) -> int:
    return amount


@step
async def ship(amount: int) -> int:
    return amount


def told(old, new, *, do=lambda story: story, name="shop.order") -> str:
    """Runs the old code, replays its log with the new one; gives what is said about it."""
    story = Story(workflow(name=name)(old), replays=False)
    do(story)
    execution = execution_of(workflow(name=name)(new))
    with pytest.raises(NonDeterminismError) as found:
        execution.feed(story.events)
    execution.discard()
    return str(found.value)


async def calls_charge():
    await charge(1)


async def calls_ship():
    await ship(1)


async def sleeps():
    await sleep(5)


async def returns():
    return 1


async def raises():
    raise ValueError("no")


async def hooks():
    await create_hook(token="secret")


async def hooks_otherwise():
    await create_hook(token="another secret")


def test_it_names_the_event_the_code_and_what_to_do():
    text = told(calls_charge, calls_ship)
    assert 'workflow "shop.order"' in text
    assert "run run-1" in text
    assert 'event 3 is step_scheduled ("charge", step-1)' in text
    line = calls_ship.__code__.co_firstlineno + 1
    assert f'the code called the step "ship" (step-1) at {__file__}:{line}' in text
    assert "old code" in text
    assert "new name" in text


@pytest.mark.parametrize(
    ("old", "new", "event", "deed"),
    [
        (calls_charge, sleeps, "step_scheduled", "started a timer (timer-1) at "),
        (sleeps, calls_charge, "timer_started (timer-1)", 'called the step "charge"'),
        (calls_charge, returns, "step_scheduled", "returned"),
        (calls_charge, raises, "step_scheduled", "raised ValueError"),
        (hooks, sleeps, "hook_created (hook-1)", "started a timer"),
        (sleeps, hooks, "timer_started", "created a hook (hook-1) at "),
        (hooks, hooks_otherwise, "hook_created (hook-1)", "hook-1) at "),
        (returns, calls_charge, "run_completed", 'called the step "charge"'),
        (raises, returns, "run_failed", "returned"),
    ],
)
def test_all_kinds(old, new, event, deed):
    text = told(old, new)
    assert event in text
    assert deed in text
    assert "secret" not in text


def test_another_token_is_told_without_the_token():
    assert "with another token" in told(hooks, hooks_otherwise)


def test_more_kinds():
    async def children():
        await start("child", 1)

    async def other_children():
        await start("other", 1)

    async def writes():
        await get_writable("a").write(1)
        await sleep(1)

    async def writes_elsewhere():
        await get_writable("b").write(1)
        await sleep(1)

    async def sets():
        set_attributes({"a": "b"})
        await sleep(1)

    async def disposes():
        create_hook(token="t").dispose()
        await sleep(1)

    assert 'child_started ("child", run-1.child-1)' in told(children, other_children)
    assert 'wrote to the stream "b"' in told(writes, writes_elsewhere)
    assert 'chunks_written ("a")' in told(writes, writes_elsewhere)
    assert "attributes_set" in told(sets, writes)
    assert "set attributes" in told(writes, sets)
    assert "hook_disposed (hook-1)" in told(disposes, hooks_then_sleeps)


async def hooks_then_sleeps():
    create_hook(token="t")
    await sleep(1)


def test_code_that_asks_for_nothing_says_where_it_waits():
    async def old():
        await charge(1)
        await ship(1)

    async def new():
        await charge(1)
        hook = create_hook(token="t")
        hook.dispose()
        await hook.get_conflict()

    def do(story):
        story.complete("charge", 1).settle()

    assert "created a hook" in told(old, new, do=do)

    async def waits():
        await charge(1)
        await adopted_elsewhere()

    async def adopted_elsewhere():
        import asyncio

        await asyncio.get_running_loop().create_future()

    text = told(old, waits, do=do)
    line = adopted_elsewhere.__code__.co_firstlineno + 3
    assert f"asked for nothing: it waits at {__file__}:{line}" in text


def test_code_that_has_returned():
    story = Story(workflow(name="w")(calls_charge), replays=False)
    story.complete("charge", 1).settle()
    execution = execution_of(workflow(name="w")(calls_charge))
    execution.feed(story.events)
    late = events_pb2.Event(seq=len(story.events) + 1, turn=9, correlation_id="step-2")
    late.step_scheduled.name = "charge"
    with pytest.raises(NonDeterminismError, match="it has returned"):
        execution.feed([late])


def test_an_event_of_a_newer_daemon():
    execution = execution_of(workflow(name="w")(calls_charge))
    story = Story(workflow(name="w")(calls_charge), replays=False)
    execution.feed(story.events)
    # From outside it is nothing to this version; as an echo it has no command.
    execution.feed([events_pb2.Event(seq=4)])
    with pytest.raises(NonDeterminismError, match="unknown"):
        execution.feed([events_pb2.Event(seq=5, turn=2)])


def test_inputs_are_not_compared():
    async def old():
        await charge(1)

    async def new():
        await charge(2)

    story = Story(workflow(name="w")(old), replays=False)
    execution = execution_of(workflow(name="w")(new))
    execution.feed(story.events)
    assert execution.commands() == []


def test_code_that_does_more_at_its_end_goes_on():
    async def old():
        await charge(1)

    async def new():
        await charge(1)
        await ship(2)

    story = Story(workflow(name="w")(old), replays=False)
    story.complete("charge", 1)
    execution = execution_of(workflow(name="w")(new))
    execution.feed(story.events)
    assert [c.schedule_step.name for c in execution.commands()] == ["ship"]


def test_the_place_is_that_of_the_call_also_in_tasks():
    import asyncio

    async def new():
        await asyncio.gather(ship(1), charge(2))

    text = told(calls_charge, new)
    line = new.__code__.co_firstlineno + 1
    assert f'called the step "ship" (step-1) at {__file__}:{line}' in text

    async def deadlines():
        async with asyncio.timeout(5):
            await charge(1)

    text = told(calls_charge, deadlines)
    line = deadlines.__code__.co_firstlineno + 1
    assert f"started a timer (timer-1) at {__file__}:{line}" in text


def test_gaps_and_repeats_in_the_log():
    story = Story(workflow(name="w")(calls_charge), replays=False)
    execution = execution_of(workflow(name="w")(calls_charge))
    execution.feed(story.events[:2])
    execution.feed(story.events[:3])
    assert execution.seen_seq == 3
    with pytest.raises(ValueError, match="does not follow"):
        execution.feed([events_pb2.Event(seq=9)])
