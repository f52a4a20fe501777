"""What a look costs does not grow with what waits, or with who is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hookd_daemon.dispatch.queues import Lane
from hookd_daemon.dispatch.sessions import Session

from tests.unit.dispatch.table import Table


@contextmanager
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts how often it is looked whether a session has room, or a lane has work."""
    count = [0]
    room, first = Session.room, Lane.first

    def counted_room(self: Session, kind: int) -> int:
        count[0] += 1
        return room(self, kind)  # type: ignore[arg-type]

    def counted_first(self: Lane) -> object:
        count[0] += 1
        return first(self)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "room", counted_room)
        patch.setattr(Lane, "first", counted_first)
        yield count


@pytest.mark.parametrize("ready", [100, 2_000])
async def test_ready_runs_are_handed_out_at_the_same_cost(
    monkeypatch: pytest.MonkeyPatch, ready: int
) -> None:
    table = Table()
    for _ in range(ready):
        table.put()
    with looks(monkeypatch) as count:
        sessions = [table.join(max_turns=8) for _ in range(4)]
        table.read()
        done = 0
        while table.entries:
            for session in sessions:
                for work in table.lease(session):
                    table.finish(work)
                    done += 1
            table.read()
        assert done == ready
        assert count[0] < 12 * ready + 200


@pytest.mark.parametrize("busy", [10, 1_000])
async def test_busy_workers_are_not_asked_again_and_again(
    monkeypatch: pytest.MonkeyPatch, busy: int
) -> None:
    table = Table()
    for _ in range(busy):
        table.put()
    sessions = [table.join() for _ in range(busy)]
    table.read()
    works = [work for session in sessions for work in table.lease(session)]
    assert len(works) == busy
    for _ in range(3):
        table.put()  # everybody is asked once
    with looks(monkeypatch) as count:
        for _ in range(200):
            table.put()
            table.read()
        for work in works[:100]:
            table.finish(work)
            table.read()
        assert count[0] < 4_000


@pytest.mark.parametrize("names", [10, 1_000])
async def test_queues_without_work_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, names: int
) -> None:
    table = Table()
    session = table.join(workflows={f"flow-{n}": "" for n in range(names)})
    table.read()
    with looks(monkeypatch) as count:
        for n in range(100):
            table.put(f"flow-{n % names}")
            table.read()
            for work in table.lease(session):
                table.finish(work)
        assert count[0] < 2_000
