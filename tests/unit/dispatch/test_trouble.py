"""What cannot be read or leased keeps nothing else from being handed out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hookd_daemon.core.queues import Entry, read_queue
from hookd_daemon.core.turns import lease_turn
from hookd_daemon.dispatch import dispatcher
from hookd_daemon.store.tx import Tx

from tests.unit.dispatch.slow import Place, place


@pytest.fixture
async def here() -> AsyncIterator[Place]:
    async with place() as here:
        yield here


class Trouble:
    """Makes a function fail as long as there is trouble with something."""

    def __init__(self, fn: Any, position: int) -> None:
        self._fn = fn
        self._position = position
        self.about = ""
        self.met = asyncio.Event()

    async def __call__(self, *args: Any) -> Any:
        about = args[self._position]
        if self.about and self.about in (about, getattr(about, "run_id", None)):
            self.met.set()
            raise ValueError(f"trouble with {self.about}")
        return await self._fn(*args)


async def test_a_run_that_cannot_be_leased_is_tried_again_later(
    here: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble = Trouble(lease_turn, 3)
    trouble.about = "bad"
    monkeypatch.setattr(dispatcher, "lease_turn", trouble)
    monkeypatch.setattr(dispatcher, "POSTPONE_S", 0.05)
    for run_id in ("good-1", "bad", "good-2"):
        await here.start(run_id)
    worker = here.worker("one", max_turns=3)
    turns = [await here.turn(worker), await here.turn(worker)]
    assert [turn.run.run_id for turn in turns] == ["good-1", "good-2"]
    trouble.about = ""
    assert (await here.turn(worker)).run.run_id == "bad"
    assert "work could not be leased" in capsys.readouterr().out


async def test_a_queue_that_cannot_be_read_is_read_later(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(read_queue, 3)
    trouble.about = "flow"
    monkeypatch.setattr(dispatcher, "read_queue", trouble)
    monkeypatch.setattr(dispatcher, "POSTPONE_S", 0.05)
    await here.start("r")
    worker = here.worker("one")
    await trouble.met.wait()
    trouble.about = ""
    assert (await here.turn(worker)).run.run_id == "r"


async def test_dispatching_goes_on_whatever_happens(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = asyncio.Event()

    def broken(*_: Any) -> None:
        met.set()
        raise ValueError("a bug")

    worker = here.worker("one")
    with monkeypatch.context() as patch:
        patch.setattr(here.board, "arrived", broken)
        await here.start("lost-until-somebody-else-comes")
        await met.wait()
    await here.start("r")
    assert (await here.turn(worker)).run.run_id == "r"


async def test_an_entry_that_stands_for_nothing_is_dropped(here: Place) -> None:
    worker = here.worker("one")
    gone = Entry("p", 1, "flow", 1, "nobody", 1, "", 0, "")
    here.board.arrived(gone)
    await here.start("r")
    assert (await here.turn(worker)).run.run_id == "r"

    async def read(tx: Tx) -> list[Entry]:
        return await read_queue(tx, "p", 1, "flow", 0, 10)

    assert [entry.run_id for entry in await here.store.transact(read)] == ["r"]
