"""An execution that is thrown away: no more of its code runs, whoever forgets it."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from hookd.workflows.definition import step
from hookd.workflows.hooks import create_hook
from hookd.workflows.loop import WorkflowLoop, WorkflowTask
from hookd.workflows.timers import sleep

from tests.unit.runtime.story import Story

ROOT = Path(__file__).parents[3]


@step
async def double(number: int) -> int:
    return number * 2


def suspended(log: list, *, cycle: bool = False) -> Story:
    """A run that is suspended in the middle of everything that has an end."""

    @contextmanager
    def plain():
        try:
            yield
        finally:
            log.append("with")

    @asynccontextmanager
    async def room():
        try:
            yield
        finally:
            log.append("async with")

    async def numbers():
        try:
            yield 1
            await sleep(60)
            yield 2
        finally:
            log.append("generator")

    async def iterate():
        try:
            async for _ in numbers():
                pass
        except BaseException:
            log.append("except")
            raise

    async def inner():
        try:
            await create_hook()
        finally:
            log.append("inner")

    async def child():
        with plain():
            try:
                await double(1)
            finally:
                log.append("child")

    async def w():
        knot: list = []
        if cycle:
            knot.append(knot)
            knot.append(asyncio.current_task())
        left = asyncio.create_task(iterate())
        calls = [double(n) for n in range(3)]
        not_begun = asyncio.create_task(inner())
        never = inner()
        try:
            async with room(), asyncio.timeout(600), asyncio.TaskGroup() as group:
                with plain():
                    group.create_task(child())
                    await asyncio.gather(inner(), asyncio.shield(child()))
        except BaseException:
            log.append("main except")
            raise
        finally:
            log.append("main")
            await never
            await asyncio.gather(left, not_begun, *calls)

    story = Story(w, replays=False)
    assert len(story.steps) == 2
    assert log == []
    return story


@pytest.mark.parametrize("cycle", [False, True])
def test_discarding(cycle):
    log = []
    story = suspended(log, cycle=cycle)
    execution = story.live
    runtime = weakref.ref(execution._runtime)
    execution.discard()
    execution.discard()
    assert execution.discarded
    assert execution.commands() == []
    with pytest.raises(RuntimeError, match="discarded"):
        execution.feed([story.events[-1].__class__(seq=execution.seen_seq + 1)])
    assert execution.take_warnings() == []
    del story, execution
    gc.collect()
    assert log == []
    assert runtime() is None


@pytest.mark.parametrize("cycle", [False, True])
def test_forgetting(cycle):
    log = []
    suspended(log, cycle=cycle)
    gc.collect()
    gc.collect()
    assert log == []


def test_forgetting_in_a_cycle():
    log = []
    story = suspended(log)
    story.me = story
    story.live.me = [story.live]
    del story
    gc.collect()
    gc.collect()
    assert log == []


def test_collecting_in_another_thread():
    log = []
    stories = [suspended(log) for _ in range(3)]
    for story in stories:
        story.me = story

    def forget():
        stories.clear()
        gc.collect()

    thread = threading.Thread(target=forget)
    thread.start()
    thread.join()
    gc.collect()
    assert log == []


def test_ending_from_outside():
    log = []
    story = suspended(log).cancel()
    assert story.live.finished
    assert story.live.commands() == []
    assert not story.live.awaits_claims
    gc.collect()
    assert log == []


def test_ending_from_outside_when_the_code_has_returned():
    async def w():
        await create_hook(token="t")

    story = Story(w, replays=False).payload("t", 1)
    assert [c.WhichOneof("command") for c in story.live.commands()] == ["complete_run"]
    story.cancel()
    assert story.live.commands() == []


def test_the_end_of_the_process():
    script = """
import sys
from tests.unit.runtime.test_putting_aside import suspended
class Log(list):
    def append(self, item): print(item)
log = Log()
story = suspended(log)
kept = [suspended(log), story]
print("end")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "end\n"
    assert done.stderr == ""


def test_nothing_is_left_behind():
    """Thousands of runs that come and go: no loop, no task stays."""

    async def w():
        async with asyncio.timeout(5):
            await asyncio.gather(double(1), create_hook())

    def loops() -> int:
        gc.collect()
        return sum(type(each) in (WorkflowLoop, WorkflowTask) for each in gc.get_objects())

    gc.collect()
    before = loops()
    for _ in range(50):
        Story(w, replays=False).live.discard()
    for _ in range(50):
        Story(w, replays=False)
    assert loops() == before


def test_a_finished_run_leaves_nothing_behind_either():
    async def w():
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))
        return await asyncio.wait_for(create_hook(token="t"), 60)

    story = Story(w, replays=False).payload("t", 1).settle()
    runtime = weakref.ref(story.live._runtime)
    assert story.result == 1
    del story
    gc.collect()
    assert runtime() is None


async def test_finally_runs_once_when_the_code_gets_there():
    log = []

    async def w():
        try:
            await create_hook(token="t")
        finally:
            await double(1)
            log.append("finally")
        return "end"

    story = Story(w, replays=False).payload("t", 1).settle()
    assert log == []
    assert story.complete("double", 2).settle().result == "end"
    assert log == ["finally"]
