"""Runs that a workflow starts."""

import asyncio

import hookd
import pytest
from hookd import start
from hookd.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    RunCancelledError,
    RunExistsError,
    RunFailedError,
)
from hookd.workflows.definition import workflow
from hookd.workflows.errors import OutsideWorkflowError, WorkflowRuleError

from tests.unit.runtime.story import Story


@workflow(name="shop.ship")
async def ship(parcel: int, *, fast: bool = False) -> tuple[int, str]:
    return parcel, "sent"


async def test_a_child_and_its_result():
    async def w():
        run = await start(ship, 7, fast=True, attributes={"a": "b"})
        assert isinstance(run, hookd.Run)
        before = await run.status()
        value = await run.return_value()
        again = await run.return_value()
        return [run.run_id, before, value, again, isinstance(value, tuple), await run.status()]

    story = Story(w)
    (command,) = story.children.values()
    assert (command.run_id, command.workflow) == ("run-1.child-1", "shop.ship")
    assert ship.signature.decode_call(command.input) == ([7], {"fast": True})
    assert dict(command.attributes) == {"a": "b"}
    assert command.cancel_with_parent
    story.end_child("run-1.child-1", [7, "sent"]).settle()
    sent = [7, "sent"]
    assert story.result == ["run-1.child-1", "running", sent, sent, True, "completed"]


async def test_a_child_by_name():
    async def w():
        run = await start("other", input={"x": 1}, run_id="mine", cancel_with_parent=False)
        return await run.return_value()

    story = Story(w)
    command = story.children["mine"]
    assert (command.workflow, command.input.data) == ("other", b'{"x":1}')
    assert not command.cancel_with_parent
    assert story.end_child("mine", {"any": "value"}).settle().result == {"any": "value"}


async def test_many_children_are_started_in_one_turn():
    async def w():
        runs = await asyncio.gather(*(start(ship, n) for n in range(20)))
        return await asyncio.gather(*(run.return_value() for run in runs))

    story = Story(w, replays=False)
    assert story.turns == 1
    for number in reversed(range(20)):
        story.end_child(f"run-1.child-{number + 1}", [number, "sent"])
    assert story.settle().result == [[n, "sent"] for n in range(20)]


async def test_children_that_fail_and_are_cancelled():
    async def w():
        found = []
        for _ in range(2):
            run = await start(ship, 1)
            try:
                await run.return_value()
            except RunFailedError as error:
                found.append([error.type, error.message, error.run_id])
                with pytest.raises(RunFailedError):
                    await run.return_value()
            except RunCancelledError as error:
                found.append([error.cancel_reason, error.run_id])
            found.append(await run.status())
        return found

    story = Story(w)
    story.end_child("run-1.child-1", error=ValueError("no")).settle()
    story.end_child("run-1.child-2", cancelled="superseded").settle()
    assert story.result == [
        ["ValueError", "no", "run-1.child-1"],
        "failed",
        ["superseded", "run-1.child-2"],
        "cancelled",
    ]


async def test_an_id_that_is_taken():
    async def w():
        try:
            await start(ship, 1, run_id="taken")
        except RunExistsError as error:
            first = error.run_id
        run = await start(ship, 1, run_id="free")
        with pytest.raises(RunExistsError):
            await start(ship, 1, run_id="free")
        return [first, await run.return_value()]

    story = Story(w, begin=False)
    story.refused_runs.add("taken")
    story.begin()
    assert story.end_child("free", [1, "sent"]).settle().result == ["taken", [1, "sent"]]


async def test_waiting_with_a_limit():
    async def w():
        run = await start(ship, 1)
        try:
            await run.return_value(timeout=5)
        except DeadlineExceededError as error:
            return [str(error), await run.return_value(timeout=5)]

    story = Story(w).advance(5)
    text, value = story.end_child("run-1.child-1", [1, "sent"]).settle().result
    assert "run-1.child-1" in text
    assert value == [1, "sent"]


async def test_a_wait_that_is_cancelled_leaves_the_child_alone():
    async def w():
        run = await start(ship, 1)
        try:
            async with asyncio.timeout(5):
                await run.return_value()
        except TimeoutError:
            return await run.return_value()

    story = Story(w).advance(5)
    assert "run-1.child-1" in story.children
    assert story.end_child("run-1.child-1", [1, "x"]).settle().result == [1, "x"]


async def test_long_ids_stay_within_the_limit():
    async def w():
        return [(await start(ship, 1)).run_id for _ in range(2)]

    one = Story(w, run_id="x" * 128).result
    other = Story(w, run_id="x" * 127 + "y").result
    assert len({*one, *other}) == 4
    assert all(len(each) <= 128 for each in (*one, *other))
    assert one[0].endswith(".child-1")


async def test_arguments_that_are_refused():
    async def w():
        hook = hookd.HookSpec(token="t")
        for name, value in {
            "claims": [hook],
            "on_conflict": "deliver",
            "payload": None,
            "payload_id": "p",
            "external": True,
            "lease_ttl": 5,
        }.items():
            with pytest.raises(InvalidArgumentError, match=rf"{name}.*step"):
                await start(ship, 1, **{name: value})
        with pytest.raises(InvalidArgumentError, match="parcel"):
            await start(ship, "text")
        with pytest.raises(TypeError):
            await start(ship)
        for wrong in ("", "x" * 129, "with space", "ü", 5):
            with pytest.raises(InvalidArgumentError, match="run_id"):
                await start(ship, 1, run_id=wrong)
        with pytest.raises(InvalidArgumentError, match="attributes"):
            await start(ship, 1, attributes={"a": 1})
        with pytest.raises(InvalidArgumentError, match="workflow"):
            await start(5)
        with pytest.raises(InvalidArgumentError, match="workflow"):
            await start("x" * 257)
        return 1

    story = Story(w)
    assert story.result == 1
    assert story.kinds == ["run_completed"]


async def test_what_a_handle_cannot_do_here():
    async def w():
        run = await start(ship, 1)
        for call in (run.cancel, run.info, run.keep_alive):
            with pytest.raises(OutsideWorkflowError, match="step"):
                await call()

    assert Story(w).result is None


async def test_a_handle_of_another_run():
    kept = []

    async def keeper():
        kept.append(await start(ship, 1))
        await kept[0].return_value()

    async def thief():
        with pytest.raises(WorkflowRuleError, match="run-1"):
            await kept[0].return_value()
        with pytest.raises(WorkflowRuleError, match="run-1"):
            await kept[0].status()

    Story(keeper, replays=False)
    assert Story(thief, run_id="run-2", replays=False).result is None


async def test_a_workflow_called_is_a_part_of_this_run():
    async def w():
        return await ship(5)

    story = Story(w)
    assert story.result == [5, "sent"]
    assert story.kinds == ["run_completed"]


async def test_outside_there_are_no_children():
    with pytest.raises(InvalidArgumentError, match="cancel_with_parent"):
        await start(ship, 1, cancel_with_parent=True)
