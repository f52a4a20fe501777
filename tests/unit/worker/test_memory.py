"""Runs that are kept in memory between their turns."""

from hookd.v1.events_pb2 import Event
from hookd.worker.memory import Memory, WarmRun


class FakeExecution:
    def __init__(self, seen_seq: int = 0) -> None:
        self.seen_seq = seen_seq
        self.discarded = 0

    def discard(self) -> None:
        self.discarded += 1


def events(first: int, last: int) -> list[Event]:
    return [Event(seq=seq) for seq in range(first, last + 1)]


def numbers(found) -> list[int]:
    return [event.seq for event in found]


def run(seen_seq: int = 0) -> WarmRun:
    return WarmRun(FakeExecution(seen_seq))


def test_only_what_follows_is_fresh():
    assert numbers(run(0).fresh(events(1, 3))) == [1, 2, 3]
    assert numbers(run(2).fresh(events(1, 4))) == [3, 4]
    assert numbers(run(4).fresh(events(1, 4))) == []
    assert numbers(run(0).fresh([])) == []


def test_a_gap_is_never_bridged():
    warm = run(2)
    assert numbers(warm.fresh(events(4, 6))) == []
    warm.keep(events(3, 4))
    assert numbers(warm.fresh(events(6, 7))) == [3, 4]


def test_what_is_kept_comes_first():
    warm = run(2)
    warm.keep(events(3, 4))
    assert warm.position == 4
    warm.keep(events(4, 5))
    assert warm.position == 5
    assert numbers(warm.fresh(events(5, 7))) == [3, 4, 5, 6, 7]
    assert warm.position == 2  # Nothing is kept any more.


def test_the_least_recently_used_run_is_forgotten():
    memory = Memory(2)
    runs = {name: run() for name in "abc"}
    memory.put(("a", 1), runs["a"])
    memory.put(("b", 1), runs["b"])
    assert memory.take(("a", 1)) is runs["a"]
    assert memory.take(("a", 1)) is None
    memory.put(("a", 1), runs["a"])
    memory.put(("c", 1), runs["c"])
    assert ("b", 1) not in memory
    assert [runs[name].execution.discarded for name in "abc"] == [0, 1, 0]
    assert memory.take(("c", 2)) is None
    memory.clear()
    assert [runs[name].execution.discarded for name in "abc"] == [1, 1, 1]
    assert len(memory) == 0


def test_a_memory_of_nothing():
    memory = Memory(0)
    only = run()
    memory.put(("a", 1), only)
    assert only.execution.discarded == 1
    assert len(memory) == 0
