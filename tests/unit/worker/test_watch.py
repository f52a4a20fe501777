"""Turns that do not come back: reported, then ended, and their threads replaced."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hookd.v1.events_pb2 import Event
from hookd.worker.threads import Threads
from hookd.worker.watch import TurnEndedError, TurnWatch


class FakeExecution:
    """Does for each event what the test says."""

    def __init__(self, do) -> None:
        self.seen_seq = 0
        self.discarded = threading.Event()
        self._do = do

    def feed(self, events) -> None:
        for event in events:
            self._do(self)
            self.seen_seq = event.seq

    def commands(self) -> list:
        return ["a command"]

    def stack(self) -> str:
        return "where it stands\n"

    def discard(self) -> None:
        self.discarded.set()


@pytest.fixture
async def pool():
    made = Threads(1, "test-turn")
    yield made
    made.close()


def watch(pool: Threads, timeout: float = 0.2) -> TurnWatch:
    return TurnWatch(pool, timeout)


EVENTS = [Event(seq=seq) for seq in range(1, 4)]


def spin(execution) -> None:
    while True:
        pass


def spin_and_catch(execution) -> None:
    """Ends when it has been interrupted three times."""
    for _ in range(3):
        try:
            spin(execution)
        except BaseException:  # noqa: BLE001 - that is what is tested
            continue


async def test_a_turn_gives_its_commands(pool):
    execution = FakeExecution(lambda _: None)
    assert await watch(pool).feed("run", execution, EVENTS) == ["a command"]
    assert execution.seen_seq == 3
    assert not execution.discarded.is_set()


async def test_what_feeding_raises_is_raised(pool):
    def fail(execution) -> None:
        raise LookupError("odd")

    with pytest.raises(LookupError, match="odd"):
        await watch(pool).feed("run", FakeExecution(fail), EVENTS)


@pytest.mark.parametrize("stuck", [spin, spin_and_catch])
async def test_code_that_never_awaits_is_reported_and_ended(pool, caplog, stuck):
    caplog.set_level(logging.WARNING, "hookd.worker")
    watching = watch(pool)
    execution = FakeExecution(stuck)
    with pytest.raises(TurnEndedError):
        await watching.feed("run_7", execution, EVENTS)
    assert execution.discarded.is_set()
    (report, *_) = caplog.records
    assert "run_7" in report.getMessage()
    assert "where it stands" in report.getMessage()
    # The thread was not to be trusted any more: another takes its place.
    assert await watching.feed("run", FakeExecution(lambda _: None), EVENTS) == ["a command"]


async def test_code_that_cannot_be_interrupted_is_left_alone(pool, monkeypatch):
    monkeypatch.setattr("hookd.worker.watch._LAST_CHANCE", 0.2)
    gate = threading.Event()
    execution = FakeExecution(lambda _: gate.wait(60))
    with pytest.raises(TurnEndedError):
        await watch(pool).feed("run", execution, EVENTS)
    assert not execution.discarded.is_set()  # A thread is still at it.
    assert await watch(pool).feed("run", FakeExecution(lambda _: None), EVENTS) == ["a command"]
    gate.set()
    assert await asyncio.to_thread(execution.discarded.wait, 20)


async def test_a_long_replay_is_not_stuck(pool, caplog):
    """It takes longer than the limit in all, and no event does."""
    execution = FakeExecution(lambda _: time.sleep(0.05))
    events = [Event(seq=seq) for seq in range(1, 13)]
    assert await watch(pool, 0.4).feed("run", execution, events) == ["a command"]
    assert caplog.records == []


async def test_a_turn_that_waits_for_a_thread_is_not_stuck(pool, caplog):
    watching = watch(pool, 0.4)
    slow = FakeExecution(lambda _: time.sleep(0.1))
    turns = [watching.feed("slow", slow, EVENTS * 3)]
    turns += [watching.feed("run", FakeExecution(lambda _: None), EVENTS) for _ in range(3)]
    assert await asyncio.gather(*turns) == [["a command"]] * 4


async def test_an_execution_whose_turn_is_cancelled_is_discarded_after_it(pool):
    gate, begun = threading.Event(), threading.Event()
    order = []

    def wait(execution) -> None:
        begun.set()
        gate.wait(20)
        order.append("fed")

    execution = FakeExecution(wait)
    turn = asyncio.ensure_future(watch(pool, 20).feed("run", execution, EVENTS[:1]))
    await asyncio.to_thread(begun.wait, 20)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert not execution.discarded.is_set()
    gate.set()
    assert await asyncio.to_thread(execution.discarded.wait, 20)
    assert order == ["fed"]


#: Ends a turn, then calls a function under a profiler.
PROFILED = """
import asyncio, sys
from hookd.worker.threads import Threads
from hookd.worker.watch import TurnEndedError
from tests.unit.worker.test_watch import EVENTS, FakeExecution, spin, watch

async def end_a_turn():
    try:
        await watch(Threads(1, "turn"), 0.05).feed("run", FakeExecution(spin), EVENTS)
    except TurnEndedError:
        return "ended"

def function():
    pass

print(asyncio.run(end_a_turn()))
sys.setprofile(lambda frame, event, arg: None)
function()
sys.setprofile(None)
print("profiled")
"""


def test_nothing_of_an_interruption_is_left_to_the_rest_of_the_process():
    # An interruption that is taken back leaves the interpreter of Python 3.11 looking
    # for it for ever; a profiler, or a debugger, then stands still.
    done = subprocess.run(
        [sys.executable, "-c", PROFILED],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.split() == ["ended", "profiled"], done.stderr
