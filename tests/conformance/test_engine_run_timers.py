"""Timers of runs, and runs that runs have started."""

from __future__ import annotations

import pytest
from hookd.v1.common_pb2 import (
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_PENDING,
    Failure,
    Payload,
)
from hookd.v1.worker_service_pb2 import (
    CancelTimerCommand,
    FailRunCommand,
    StartChildCommand,
    StartTimerCommand,
)
from hookd_daemon.core.ending import cancel_run, complete_run, fail_run
from hookd_daemon.core.firing import fire_timer
from hookd_daemon.core.hooks import HookSpec
from hookd_daemon.core.queues import WORKFLOW, read_queue_names
from hookd_daemon.core.turns import LeasedTurn
from hookd_daemon.errors import IdReusedError
from hookd_daemon.records.v1.records_pb2 import TIMER_KIND_RUN_TIMER, TimerRecord
from hookd_daemon.store.tx import Store

from tests.conformance.work import END, P, Work


def timer(timer_id: str, after_ms: int) -> StartTimerCommand:
    command = StartTimerCommand(timer_id=timer_id)
    command.after.FromMilliseconds(after_ms)
    return command


def child(run_id: str, *, bound: bool = True, workflow: str = "child") -> StartChildCommand:
    return StartChildCommand(
        run_id=run_id, workflow=workflow, input=Payload(data=b"c"), cancel_with_parent=bound
    )


@pytest.fixture
def work(store: Store) -> Work:
    return Work(store)


@pytest.fixture
async def turn(work: Work) -> LeasedTurn:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    return turn


async def test_timers_fire_in_the_order_of_their_times(work: Work, turn: LeasedTurn) -> None:
    at = StartTimerCommand(timer_id="t3")
    at.at.FromMilliseconds(work.now + 200)
    await work.complete(turn, timer("t1", 300), timer("t2", 100), at)
    assert await work.sweep() == 0
    work.now += 300
    assert await work.sweep() == 3
    fired = [e.correlation_id for e in await work.log() if e.HasField("timer_fired")]
    assert fired == ["t2", "t3", "t1"]
    assert await work.turn() is not None


async def test_a_time_that_has_passed_fires_at_once(work: Work, turn: LeasedTurn) -> None:
    past = StartTimerCommand(timer_id="t")
    past.at.FromMilliseconds(5)
    outcome = await work.complete(turn, past)
    assert outcome.events[0].timer_started.fires_at.ToMilliseconds() == work.now
    assert await work.sweep() == 1
    assert (await work.kinds())[-1] == "timer_fired"


async def test_a_cancelled_timer_does_not_fire(work: Work, turn: LeasedTurn) -> None:
    await work.complete(turn, timer("t1", 100), timer("t2", 100))
    await work.complete(turn, CancelTimerCommand(timer_id="t1"), seen=4)
    work.now += 100
    assert await work.sweep() == 1
    outcome = await work.complete(turn, CancelTimerCommand(timer_id="t2"), seen=6)
    kinds = [e.WhichOneof("data") for e in (await work.log())[4:]]
    assert kinds == ["timer_cancelled", "timer_fired", "timer_cancelled"]
    assert outcome.events[-1].timer_cancelled.already_fired
    with pytest.raises(IdReusedError):
        await work.complete(turn, timer("t", 1), timer("t", 1), seen=7)


async def test_a_timer_that_is_looked_at_too_early_stays(work: Work, turn: LeasedTurn) -> None:
    await work.complete(turn, timer("t", 100))
    hint = TimerRecord(
        kind=TIMER_KIND_RUN_TIMER, project=P, run_id="r", run_uid=turn.run.uid, id="t"
    )
    await work.store.transact(fire_timer, work.moment, None, hint)
    assert (await work.kinds())[-1] == "timer_started"
    work.now += 100
    assert await work.sweep() == 1


async def test_the_end_of_a_run_takes_its_timers_along(work: Work, turn: LeasedTurn) -> None:
    await work.complete(turn, *(timer(f"t{i}", 1_000) for i in range(300)))
    await work.complete(turn, END, seen=302)
    work.now += 1_000
    assert await work.sweep() == 0


async def test_a_child_tells_its_parent_how_it_ended(work: Work, turn: LeasedTurn) -> None:
    await work.complete(turn, child("c1"), child("c2"), child("c3"))
    assert await work.status("c1") == RUN_STATUS_PENDING
    assert (await work.log("c1"))[0].run_created.parent_run_id == "r"
    assert await work.turn() is None
    await work.call(complete_run, "c1", Payload(data=b"out"))
    await work.call(fail_run, "c2", Failure(type="Oh", message="no"))
    await work.call(cancel_run, "c3", "enough")
    ends = (await work.log())[-3:]
    assert [e.correlation_id for e in ends] == ["c1", "c2", "c3"]
    assert ends[0].child_ended.output.data == b"out"
    assert ends[1].child_ended.failure.type == "Oh"
    assert ends[2].child_ended.cancel_reason == "enough"
    assert await work.turn() is not None


async def test_a_child_whose_id_is_taken_is_refused(work: Work, turn: LeasedTurn) -> None:
    await work.start("taken", workflow="else")
    outcome = await work.complete(turn, child("taken"), child("c"))
    assert [e.child_started.refused for e in outcome.events] == [True, False]
    await work.call(cancel_run, "taken", "")
    assert (await work.kinds())[-1] == "child_started"


@pytest.mark.parametrize("how", ["cancel", "fail"])
async def test_children_end_with_their_parent_if_they_are_bound(
    work: Work, turn: LeasedTurn, how: str
) -> None:
    await work.complete(turn, child("bound"), child("free", bound=False))
    inner = await work.turn("child")
    assert inner is not None
    assert inner.run.run_id == "bound"
    await work.complete(inner, child("grandchild", workflow="deep"), HookSpec("h", "token"))
    if how == "cancel":
        await work.call(cancel_run, "r", "")
    else:
        await work.complete(turn, FailRunCommand(failure=Failure(type="Oh")), seen=4)
    assert await work.status("bound") == RUN_STATUS_CANCELLED
    assert await work.status("grandchild") == RUN_STATUS_CANCELLED
    assert await work.status("free") == RUN_STATUS_PENDING
    assert "its parent run r" in (await work.log("bound"))[-1].run_cancelled.reason
    # Nothing was written behind the end of the parent.
    assert (await work.kinds())[-1] in ("run_cancelled", "run_failed")
    assert await work.store.transact(read_queue_names, None) == [("project", WORKFLOW, "child")]


async def test_children_outlive_a_parent_that_completes(work: Work, turn: LeasedTurn) -> None:
    await work.complete(turn, child("c"), END)
    assert await work.status() == RUN_STATUS_COMPLETED
    assert await work.status("c") == RUN_STATUS_PENDING
    await work.call(complete_run, "c", Payload())
    assert (await work.kinds())[-1] == "run_completed"


async def test_children_have_secrets_of_their_own(work: Work, turn: LeasedTurn) -> None:
    await work.complete(turn, child("c1"), child("c2"))
    seeds = {turn.run.record.seed}
    for _ in range(2):
        leased = await work.turn("child")
        assert leased is not None
        seeds.add(leased.run.record.seed)
        await work.complete(leased, END)
    assert len(seeds) == 3
    assert all(len(seed) == 32 for seed in seeds)
