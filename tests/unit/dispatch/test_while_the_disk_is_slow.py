"""What happens between a commit and its answer does not confuse who has what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hookd.v1.common_pb2 import Payload
from hookd_daemon.core.delivery import resume_hook
from hookd_daemon.core.ending import cancel_run
from hookd_daemon.core.hooks import HookSpec
from hookd_daemon.core.queues import STEP, WORKFLOW
from hookd_daemon.dispatch.work import Dropped

from tests.unit.dispatch.slow import Place, place, settled, step


@pytest.fixture
async def here() -> AsyncIterator[Place]:
    async with place() as here:
        yield here


def counts(here: Place) -> tuple[int, int]:
    """How many turns and steps are leased."""
    leased = here.board.holding.counts
    return leased[WORKFLOW], leased[STEP]


async def test_steps_that_come_with_an_answer_are_not_given_to_others(here: Place) -> None:
    one = here.worker("one")
    await here.start("r")
    turn = await here.turn(one)
    two = here.worker("two")
    here.store.hold("complete_turn")
    completing = asyncio.create_task(here.complete_turn(one, turn, step(), take_steps=1))
    await here.store.reached.wait()
    await settled()
    assert not two.holds
    here.store.let_go("complete_turn")
    outcome = await completing
    assert [s.record.attempt for s in outcome.steps] == [1]
    await settled()
    assert (counts(here), len(one.holds), len(two.holds)) == ((0, 1), 1, 0)


async def test_room_for_what_comes_with_an_answer_is_kept(here: Place) -> None:
    one, two = here.worker("one"), here.worker("two", max_steps=0)
    for run_id in ("r", "s"):
        await here.start(run_id)
    first, second = await here.turn(one), await here.turn(two)
    here.store.hold("complete_turn")
    completing = asyncio.create_task(here.complete_turn(one, first, step(), take_steps=1))
    await here.store.reached.wait()
    # A step of another run is there, and has to wait.
    other = asyncio.create_task(here.complete_turn(two, second, step()))
    await settled()
    assert one.used[STEP] == 0
    here.store.let_go("complete_turn")
    (taken,) = (await completing).steps
    await other
    await settled()
    assert one.used[STEP] == 1
    await here.complete_step(one, taken)
    assert (await here.step(one)).run.run_id == second.run.run_id


async def test_a_run_that_is_cancelled_meanwhile_hands_out_nothing(here: Place) -> None:
    one = here.worker("one")
    await here.start("r")
    turn = await here.turn(one)
    here.store.hold("complete_turn")
    completing = asyncio.create_task(here.complete_turn(one, turn, step(), take_steps=1))
    await here.store.reached.wait()
    await here.run(cancel_run, "r", "")
    here.store.let_go("complete_turn")
    outcome = await completing
    assert (outcome.steps, outcome.goes_on) == ([], False)
    await settled()
    assert (counts(here), one.used) == ((0, 0), {WORKFLOW: 0, STEP: 0})


async def test_a_payload_that_comes_meanwhile_finds_the_worker_that_is_warm(here: Place) -> None:
    one = here.worker("one")
    await here.start("r")
    turn = await here.turn(one)
    here.worker("two")
    here.store.hold("complete_turn")
    hook = HookSpec("hook-1", "t")
    completing = asyncio.create_task(here.complete_turn(one, turn, hook))
    await here.store.reached.wait()
    await here.run(resume_hook, "t", "payload-1", Payload())
    await settled()
    here.store.let_go("complete_turn")
    outcome = await completing
    again = await here.turn(one)
    assert again.after_seq == outcome.events[-1].seq
    assert [event.WhichOneof("data") for event in again.events] == ["hook_received"]


async def test_a_worker_that_goes_while_it_is_given_something_leaves_it_to_others(
    here: Place,
) -> None:
    with here.connection("one") as one:
        here.store.hold("_lease_all")
        await here.start("r")
        await here.store.reached.wait()
        assert len(one.holds) == 1
    two = here.worker("two")
    await settled()
    assert not two.holds
    here.store.let_go("_lease_all")
    assert (await here.turn(two)).run.run_id == "r"
    assert counts(here) == (1, 0)


async def test_a_worker_that_comes_back_while_it_is_given_something_gets_it(here: Place) -> None:
    here.worker("one")
    here.store.hold("_lease_all")
    await here.start("r")
    await here.store.reached.wait()
    again = here.worker("one")
    here.store.let_go("_lease_all")
    assert (await here.turn(again)).run.run_id == "r"
    assert (counts(here), again.used[WORKFLOW]) == ((1, 0), 1)


async def test_a_step_that_is_cancelled_while_it_is_given_out_is_not(here: Place) -> None:
    one = here.worker("one", max_steps=0)
    await here.start("r")
    await here.complete_turn(one, await here.turn(one), step())
    here.store.hold("_lease_all")
    two = here.worker("two")
    await here.store.reached.wait()
    await here.run(cancel_run, "r", "")
    await settled()
    here.store.let_go("_lease_all")
    await here.start("s")
    # Nothing but the next run, and no step before.
    for worker in (one, two):
        if worker.holds:
            assert (await here.turn(worker)).run.run_id == "s"
    await settled()
    assert counts(here) == (1, 0)


async def test_a_step_that_is_cancelled_on_its_way_to_the_worker_is_not_told(here: Place) -> None:
    one = here.worker("one")
    await here.start("r")
    await here.complete_turn(one, await here.turn(one), step())
    await settled()
    assert counts(here) == (0, 1)
    await here.run(cancel_run, "r", "")
    await settled()
    # It has not looked yet: all that it hears is that there is nothing to do.
    item = await here.told(one)
    assert item == Dropped("r", "step-1", 1)


async def test_a_turn_that_comes_with_an_answer_is_not_given_to_others(here: Place) -> None:
    one = here.worker("one")
    await here.start("r")
    outcome = await here.complete_turn(one, await here.turn(one), step(), take_steps=1)
    two = here.worker("two")
    here.store.hold("complete_step")
    completing = asyncio.create_task(here.complete_step(one, outcome.steps[0], take_turn=True))
    await here.store.reached.wait()
    # Its place is kept, too.
    await here.start("s")
    assert (await here.turn(two)).run.run_id == "s"
    here.store.let_go("complete_step")
    done = await completing
    assert done.turn is not None
    await settled()
    assert (counts(here), one.used[WORKFLOW], two.used[WORKFLOW]) == ((2, 0), 1, 1)


async def test_two_steps_that_end_at_once_give_one_turn(here: Place) -> None:
    one = here.worker("one", max_turns=4, max_steps=2)
    await here.start("r")
    commands = [step("step-1"), step("step-2")]
    outcome = await here.complete_turn(one, await here.turn(one), *commands, take_steps=2)
    here.store.hold("complete_step")
    reports = [
        asyncio.create_task(here.complete_step(one, leased, take_turn=True))
        for leased in outcome.steps
    ]
    await settled()
    here.store.let_go("complete_step")
    turns = [(await report).turn for report in reports]
    assert [turn is not None for turn in turns] == [True, False]
    await settled()
    assert counts(here) == (1, 0)
    (turn,) = [turn for turn in turns if turn is not None]
    # What has come after it is told with its answer.
    assert (await here.complete_turn(one, turn)).goes_on


async def test_a_step_is_taken_up_by_one_of_two_heartbeats(here: Place) -> None:
    with here.connection("one") as one:
        await here.start("r")
        outcome = await here.complete_turn(one, await here.turn(one), step(), take_steps=1)
        (leased,) = outcome.steps
    here.board.finish(here.board.works["p", "r", "step-1"])  # as after a restart
    refs = [Dropped("r", "step-1", leased.record.attempt)]
    here.store.hold("_adopt_all")
    beats = [
        asyncio.create_task(here.heartbeats.keep("p", worker_id, refs))  # type: ignore[arg-type]
        for worker_id in ("one", "thief")
    ]
    await settled()
    here.store.let_go("_adopt_all")
    assert [await beat for beat in beats] == [[], refs]
    assert counts(here) == (0, 1)


async def test_a_step_that_is_taken_up_is_not_given_to_others(here: Place) -> None:
    with here.connection("one") as one:
        await here.start("r")
        outcome = await here.complete_turn(one, await here.turn(one), step(), take_steps=1)
        (leased,) = outcome.steps
    here.board.finish(here.board.works["p", "r", "step-1"])  # as after a restart
    refs = [Dropped("r", "step-1", leased.record.attempt)]
    here.store.hold("_adopt_all")
    beat = asyncio.create_task(here.heartbeats.keep("p", "one", refs))  # type: ignore[arg-type]
    await here.store.reached.wait()
    two = here.worker("two")
    await settled()
    here.store.let_go("_adopt_all")
    assert await beat == []
    await settled()
    assert (counts(here), len(two.holds)) == ((0, 1), 0)
    assert not (await here.complete_step(one, leased)).duplicate
