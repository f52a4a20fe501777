"""What the board gives to whom."""

from __future__ import annotations

import random

import pytest
from hookd_daemon.core.queues import STEP, WORKFLOW
from hookd_daemon.dispatch import versions
from hookd_daemon.dispatch.sessions import Session
from hookd_daemon.dispatch.work import State, Work

from tests.unit.dispatch.table import Table


def numbers(works: list[Work]) -> list[int]:
    return [work.entry.number for work in works]


async def test_work_that_is_put_back_comes_before_all_others() -> None:
    table = Table()
    entries = [table.put() for _ in range(3)]
    session = table.join()
    table.read()
    (work,) = table.lease(session)
    assert work.entry == entries[0]
    table.board.put_back(work)
    (again,) = table.lease(session)
    assert again.entry == entries[0]
    table.check()


async def test_a_queue_is_read_as_far_as_there_is_room() -> None:
    table = Table()
    for _ in range(100):
        table.put()
    session = table.join(max_turns=3)
    assert table.read() == 8
    for work in table.lease(session):
        table.finish(work)
    while session.picks:
        for work in table.lease(session):
            table.finish(work)
        table.read()
        table.check()
    assert not table.entries


async def test_what_waits_for_another_version_stands_in_nobodys_way() -> None:
    table = Table()
    old = table.join(workflows={"flow": "v1"})
    table.put(version="v1")
    table.read()
    (held,) = table.lease(old)
    new = table.join(workflows={"flow": "v2"}, max_turns=2)
    for _ in range(50):
        table.put(version="v1")
    wanted = [table.put(), table.put(version="v2")]
    table.read()
    table.check()
    assert numbers(table.lease(new)) == [entry.number for entry in wanted]
    table.finish(held)
    assert len(table.lease(old)) == 1
    table.check()


async def test_a_version_that_comes_back_takes_its_runs_from_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(versions, "KEPT_S", 0)
    table = Table()
    new = table.join(workflows={"flow": "v2"})
    entries = [table.put(version="v1") for _ in range(3)]
    table.read()
    # Nobody has that version, and nobody had it for long enough.
    (work,) = table.lease(new)
    assert work.entry == entries[0]
    old = table.join(workflows={"flow": "v1"})
    assert numbers(table.lease(old)) == [entries[1].number]
    table.finish(work)
    assert table.lease(new) == []
    table.check()


async def test_reserved_work_is_given_to_nobody() -> None:
    table = Table()
    one = table.put()
    session = table.join(max_turns=0)
    with table.board.reserve([("p", one.run_id, "")]):
        other = table.join()
        table.read()
        assert table.lease(other) == []
        table.check()
    assert numbers(table.lease(other)) == [one.number]
    assert not session.picks
    table.check()


async def test_reserved_work_that_was_given_meanwhile_is_not_given_again() -> None:
    table = Table()
    session = table.join(max_turns=2)
    one = table.put()
    with table.board.reserve([("p", one.run_id, "")]):
        table.read()
        table.leases.give(one, session.worker_id)
    assert table.lease(session) == []
    assert session.used[WORKFLOW] == 1
    table.check()


async def test_a_promise_keeps_room_free() -> None:
    table = Table()
    session = table.join(max_turns=2)
    with table.board.promise(session, WORKFLOW, 1):
        for _ in range(3):
            table.put()
        table.read()
        assert len(table.lease(session)) == 1
        table.check()
    assert len(table.lease(session)) == 1
    table.check()


async def test_a_lease_that_goes_on_gives_up_no_room() -> None:
    table = Table()
    session = table.join()
    entries = [table.put() for _ in range(2)]
    table.read()
    table.lease(session)
    table.leases.give(entries[0], session.worker_id, given_with="turn")
    assert not session.picks
    assert session.used[WORKFLOW] == 1
    table.check()


async def test_a_later_entry_of_the_same_work_takes_its_place() -> None:
    table = Table()
    session = table.join(steps=["charge"], max_steps=2)
    old = table.put("charge", STEP)
    table.read()
    (work,) = table.lease(session)
    del table.entries[old.number]
    later = table.put("charge", STEP, like=old)
    table.read()
    assert work.state is State.GONE
    (again,) = table.lease(session)
    assert again.entry == later
    table.check()


async def test_a_worker_that_reconnects_keeps_what_it_has() -> None:
    table = Table()
    first = table.join("w", max_turns=2)
    for _ in range(4):
        table.put()
    table.read()
    one, two = table.lease(first)
    second = table.join("w", max_turns=2)
    assert (first.over, second.holds) == (True, {one, two})
    assert table.board.leave(first) == []
    table.check()
    table.finish(one)
    assert len(table.lease(second)) == 1
    table.check()


class Chaos:
    """Does things at random, and looks after each whether all is well."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.table = Table()

    def session(self) -> Session | None:
        sessions = list(self.table.board.sessions.values())
        return self.random.choice(sessions) if sessions else None

    def leased(self) -> Work | None:
        works = sorted(self.table.board.holding.leased, key=lambda work: work.entry.number)
        return self.random.choice(works) if works else None

    def put(self) -> None:
        for _ in range(self.random.randint(1, 12)):
            kind = self.random.choice([WORKFLOW, STEP])
            version = self.random.choice(["", "v1", "v2"]) if kind == WORKFLOW else ""
            self.table.put(self.random.choice("abc"), kind, version)

    def join(self) -> None:
        choose = self.random
        names = choose.sample("abc", choose.randint(0, 3))
        self.table.join(
            f"w{choose.randint(1, 5)}",
            {name: choose.choice(["v1", "v2"]) for name in names},
            choose.sample("abc", choose.randint(0, 3)),
            choose.randint(0, 3),
            choose.randint(0, 3),
        )

    def leave(self) -> None:
        session = self.session()
        if session is not None:
            for work in self.table.board.leave(session):
                self.table.leases.shorten(work)

    def lease(self) -> None:
        session = self.session()
        if session is not None:
            self.table.lease(session)

    def finish(self) -> None:
        work = self.leased()
        if work is not None:
            self.table.finish(work)

    def put_back(self) -> None:
        work = self.leased()
        if work is not None:
            self.table.board.put_back(work)

    def park(self) -> None:
        work = self.leased()
        if work is not None:
            self.table.leases.park(work, 3600)

    def reserve(self) -> None:
        entries = list(self.table.entries.values())
        some = self.random.sample(entries, min(len(entries), 5))
        keys = [(entry.project, entry.run_id, entry.step_id) for entry in some]
        with self.table.board.reserve(keys):
            self.table.check()
            self.step()

    def read(self) -> None:
        self.table.read()

    def step(self) -> None:
        often = [self.lease, self.finish]
        seldom = [self.put, self.join, self.leave, self.put_back, self.park, self.reserve]
        act = self.random.choice([*often, *often, *seldom, self.read])
        act()
        self.table.check()


@pytest.mark.parametrize("seed", range(40))
async def test_nothing_is_lost_and_nothing_waits_without_need(seed: int) -> None:
    chaos = Chaos(seed)
    for _ in range(150):
        chaos.step()
        chaos.table.read()
        chaos.table.check()


async def test_everything_is_handed_out_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "KEPT_S", 0)
    chaos = Chaos(4711)
    for _ in range(200):
        chaos.step()
    table = chaos.table
    for session in list(table.board.sessions.values()):
        for work in table.board.leave(session):
            table.board.put_back(work)
    for work in list(table.board.works.values()):
        table.board.finish(work)  # what is parked
    last = table.join("last", dict.fromkeys("abc", "v9"), steps="abc", max_turns=3, max_steps=3)
    table.read()
    while works := table.lease(last):
        for work in works:
            table.finish(work)
        table.read()
        table.check()
    assert not table.entries
