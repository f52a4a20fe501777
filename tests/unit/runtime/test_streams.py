"""Writing, attributes and metadata, in workflow code and in steps."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from hookd.errors import InvalidArgumentError
from hookd.payload import decode
from hookd.workflows.definition import workflow
from hookd.workflows.errors import OutsideWorkflowError, WorkflowRuleError
from hookd.workflows.metadata import get_workflow_metadata, set_attributes
from hookd.workflows.step_context import StepContext, current_step, get_step_metadata
from hookd.workflows.timers import sleep
from hookd.workflows.writable import get_writable

from tests.unit.runtime.story import Story, execution_of


class FakeRun:
    """The handle through which a worker writes."""

    project = "blue"

    def __init__(self):
        self.written = []

    async def write(self, *chunks, namespace=None):
        await asyncio.sleep(0)
        self.written.append((namespace, chunks, asyncio.get_running_loop()))

    async def close_stream(self, namespace=None):
        self.written.append((namespace, "closed", asyncio.get_running_loop()))


@pytest_asyncio.fixture
async def step_run():
    run = FakeRun()
    token = current_step.set(
        StepContext(
            run=run,
            run_id="run-1",
            workflow="shop",
            step_id="step-1",
            step_name="charge",
            attempt=2,
            last_attempt=False,
            loop=asyncio.get_running_loop(),
        )
    )
    yield run
    current_step.reset(token)


async def test_workflow_code_writes_with_its_turn():
    async def w():
        writer = get_writable()
        await writer.write("a", {"b": 1})
        other = get_writable("other")
        other.write_sync(b"raw")
        # What is not awaited is written, too.
        other.write("c")
        await other.close()
        await sleep(1)

    execution = execution_of(Story(w).workflow)
    execution.feed(Story(w).events[:2])
    commands = [command.write_chunks for command in execution.commands()[:-1]]
    assert [each.namespace for each in commands] == ["", "other", "other", "other"]
    assert [[decode(chunk) for chunk in each.chunks] for each in commands] == [
        ["a", {"b": 1}],
        [b"raw"],
        ["c"],
        [],
    ]
    assert [each.close for each in commands] == [False, False, False, True]
    assert Story(w).live.take_warnings() == []


async def test_many_chunks_go_in_several_commands():
    async def w():
        await get_writable().write(*range(2500))
        await get_writable().write()

    story = Story(w)
    assert [e.chunks_written.count for e in story.events if e.HasField("chunks_written")] == [
        1024,
        1024,
        452,
    ]


async def test_what_cannot_be_carried_is_named_and_nothing_is_written():
    async def w():
        with pytest.raises(InvalidArgumentError, match=r"chunks\[1\]"):
            await get_writable().write(1, object())
        with pytest.raises(InvalidArgumentError, match="namespace"):
            get_writable(5)

    assert Story(w).kinds == ["run_completed"]


async def test_a_writer_of_another_run():
    kept = []

    async def keeper():
        kept.append(get_writable())
        await sleep(1)

    async def thief():
        with pytest.raises(WorkflowRuleError, match="run-1"):
            await kept[0].write(1)
        with pytest.raises(WorkflowRuleError, match="run-1"):
            await kept[0].close()

    Story(keeper, replays=False)
    assert Story(thief, run_id="run-2", replays=False).result is None


async def test_attributes():
    async def w():
        set_attributes({"stage": "begun"})
        await set_attributes({"stage": None, "owner": "me"})
        for wrong in ({"": "x"}, {"a": 1}, {1: "a"}, {"a": ""}):
            with pytest.raises(InvalidArgumentError, match="attributes"):
                set_attributes(wrong)

    story = Story(w)
    attributes = [
        dict(event.attributes_set.attributes)
        for event in story.events
        if event.HasField("attributes_set")
    ]
    assert attributes == [{"stage": "begun"}, {"stage": "", "owner": "me"}]


async def test_a_workflow_knows_its_run():
    @workflow(name="shop.order")
    async def order():
        about = get_workflow_metadata()
        await sleep(5)
        assert get_workflow_metadata() == about
        return [about.run_id, about.workflow_name, about.project, about.started_at]

    run_id, name, project, started_at = Story(order).advance(5).result
    assert (run_id, name, project) == ("run-1", "shop.order", "blue")
    assert started_at.startswith("2023-11-14T22:13:20.002")


async def test_outside_there_is_nothing():
    for call in (get_writable, get_workflow_metadata, get_step_metadata):
        with pytest.raises(OutsideWorkflowError, match=call.__name__):
            call()
    with pytest.raises(OutsideWorkflowError, match="set_attributes"):
        set_attributes({})


async def test_workflow_code_is_no_step():
    async def w():
        with pytest.raises(OutsideWorkflowError):
            get_step_metadata()

    assert Story(w).result is None


class TestInAStep:
    async def test_a_step_knows_itself(self, step_run):
        about = get_step_metadata()
        assert (about.step_id, about.step_name, about.attempt) == ("step-1", "charge", 2)
        assert not about.cancelled.is_set()
        assert abs((datetime.now(UTC) - about.started_at).total_seconds()) < 60
        run = get_workflow_metadata()
        assert (run.run_id, run.workflow_name, run.project) == ("run-1", "shop", "blue")
        assert run.started_at is None
        assert "run=" not in repr(about)

    async def test_an_asynchronous_step_writes(self, step_run):
        writer = get_writable("log")
        await writer.write(1, 2)
        await writer.close()
        assert [each[:2] for each in step_run.written] == [("log", (1, 2)), ("log", "closed")]

    async def test_a_step_in_a_thread_writes(self, step_run):
        loop = asyncio.get_running_loop()

        def work():
            assert threading.current_thread() is not threading.main_thread()
            writer = get_writable("log")
            writer.write_sync(1)
            writer.close_sync()

        await asyncio.to_thread(work)
        assert [each[:2] for each in step_run.written] == [("log", (1,)), ("log", "closed")]
        assert all(each[2] is loop for each in step_run.written)

    async def test_a_step_on_a_loop_of_its_own_writes_on_the_workers(self, step_run):
        loop = asyncio.get_running_loop()

        async def work():
            await get_writable().write(1)

        await asyncio.to_thread(asyncio.run, work())
        assert [each[2] for each in step_run.written] == [loop]

    async def test_waiting_on_the_workers_own_loop_is_refused(self, step_run):
        with pytest.raises(RuntimeError, match="await writer"):
            get_writable().write_sync(1)
