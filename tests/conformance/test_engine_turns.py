"""Turns: commands in their order, all or none, guarded by the position in the log."""

from __future__ import annotations

import pytest
from hookd.v1.common_pb2 import (
    RUN_STATUS_COMPLETED,
    RUN_STATUS_PENDING,
    RUN_STATUS_RUNNING,
    Payload,
)
from hookd.v1.worker_service_pb2 import (
    CancelStepCommand,
    DisposeHookCommand,
    SetAttributesCommand,
    WriteChunksCommand,
)
from hookd_daemon.core.delivery import resume_hook
from hookd_daemon.core.ending import cancel_run
from hookd_daemon.core.hooks import HookSpec
from hookd_daemon.core.lookup import dispose_hook
from hookd_daemon.core.queues import STEP, WORKFLOW, read_queue_names
from hookd_daemon.errors import (
    HookNotFoundError,
    IdReusedError,
    InvalidArgumentError,
    RunNotActiveError,
    StaleTurnError,
)
from hookd_daemon.store.tx import Store

from tests.conformance.work import END, P, Work, step


@pytest.fixture
def work(store: Store) -> Work:
    return Work(store)


async def test_a_run_is_ready_from_its_start_to_its_first_turn(work: Work) -> None:
    await work.start()
    assert await work.status() == RUN_STATUS_PENDING
    turn = await work.turn()
    assert turn is not None
    assert [e.WhichOneof("data") for e in turn.events] == ["run_created", "run_started"]
    assert await work.status() == RUN_STATUS_RUNNING
    outcome = await work.complete(turn)
    assert not outcome.goes_on
    assert await work.turn() is None
    assert await work.queue(WORKFLOW, "flow") == []


async def test_each_command_becomes_one_event_in_order(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    outcome = await work.complete(
        turn,
        HookSpec("h", "token"),
        step("s1"),
        SetAttributesCommand(attributes={"a": "1"}),
        WriteChunksCommand(namespace="n", chunks=[Payload(data=b"x")]),
        CancelStepCommand(step_id="s1"),
        DisposeHookCommand(hook_id="h"),
        DisposeHookCommand(hook_id="h"),
        END,
    )
    made = [(e.WhichOneof("data"), e.turn) for e in outcome.events]
    assert made == [
        ("hook_created", 1),
        ("step_scheduled", 1),
        ("attributes_set", 1),
        ("chunks_written", 1),
        ("step_cancelled", 1),
        ("hook_disposed", 1),
        ("hook_disposed", 1),
        ("run_completed", 1),
    ]
    assert not outcome.events[5].hook_disposed.already_gone
    assert outcome.events[6].hook_disposed.already_gone
    assert await work.status() == RUN_STATUS_COMPLETED
    assert await work.queue(STEP, "work") == []
    assert await work.store.transact(read_queue_names, None) == []


async def test_dispose_then_create_of_one_token_is_no_conflict(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    outcome = await work.complete(
        turn, HookSpec("h1", "token"), DisposeHookCommand(hook_id="h1"), HookSpec("h2", "token")
    )
    assert [e.WhichOneof("data") for e in outcome.events] == [
        "hook_created",
        "hook_disposed",
        "hook_created",
    ]


async def test_a_turn_goes_on_with_a_conflict_and_if_its_claims_are_awaited(work: Work) -> None:
    for run_id in ("r", "other"):
        await work.start(run_id, workflow=run_id)
    first, second = await work.turn("r"), await work.turn("other")
    assert first is not None
    assert second is not None
    won = await work.complete(first, HookSpec("h", "token"), awaits_claims=True)
    assert won.goes_on
    assert not (await work.complete(first, HookSpec("h2", "mine"), seen=3)).goes_on
    lost = await work.complete(second, HookSpec("h", "token"), HookSpec("h2", "token"))
    assert lost.goes_on
    conflicts = [e.hook_conflict.conflict.run_id for e in lost.events]
    assert conflicts == ["r", "r"]
    assert [e.turn for e in lost.events] == [1, 1]
    assert len(lost.conflicts) == 2


async def test_events_that_come_during_a_turn_are_answered(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    await work.complete(turn, HookSpec("h", "token"), turn_id="one")
    await work.call(resume_hook, "token", "p1", Payload(data=b"1"))
    turn = await work.turn(after=3)
    assert turn is not None
    assert [e.hook_received.payload.data for e in turn.events] == [b"1"]
    await work.call(resume_hook, "token", "p2", Payload(data=b"2"))
    outcome = await work.complete(turn, step("s1"))
    assert outcome.goes_on
    assert [e.WhichOneof("data") for e in outcome.events] == ["hook_received", "step_scheduled"]
    assert len(await work.queue(WORKFLOW, "flow")) == 1
    outcome = await work.complete(turn, seen=outcome.run.record.last_seq)
    assert not outcome.goes_on
    assert await work.queue(WORKFLOW, "flow") == []


async def test_a_hook_that_is_disposed_from_outside_wakes_its_run(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    await work.complete(turn, HookSpec("h", "token"), HookSpec("h2", "other", ttl_ms=50))
    await work.call(dispose_hook, "r", "h")
    turn = await work.turn(after=4)
    assert turn is not None
    assert [(e.WhichOneof("data"), e.turn) for e in turn.events] == [("hook_disposed", 0)]
    assert not (await work.complete(turn)).goes_on
    work.now += 50
    await work.sweep()
    turn = await work.turn(after=5)
    assert turn is not None
    assert [e.correlation_id for e in turn.events] == ["h2"]


async def test_of_two_turns_at_one_position_one_counts(work: Work) -> None:
    await work.start()
    one, two = await work.turn(), await work.turn()
    assert one is not None
    assert two is not None
    await work.complete(one, step("s1"))
    with pytest.raises(StaleTurnError, match="completed up to event 3"):
        await work.complete(two, step("s1"))
    with pytest.raises(StaleTurnError, match="log ends at 3"):
        await work.complete(one, seen=9)
    assert (await work.kinds())[2:] == ["step_scheduled"]


async def test_a_turn_again_gets_its_first_answer(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    first = await work.complete(turn, HookSpec("h", "token"), step("s1"), turn_id="one")
    again = await work.complete(turn, HookSpec("h", "token"), step("s1"), turn_id="one")
    assert again.repeated
    assert list(again.events) == list(first.events)
    assert len(await work.log()) == 4
    last = await work.complete(turn, END, seen=4, turn_id="two")
    again = await work.complete(turn, END, seen=4, turn_id="two")
    assert list(again.events) == list(last.events)
    with pytest.raises(RunNotActiveError):
        await work.complete(turn, END, seen=4, turn_id="three")


async def test_a_turn_with_one_bad_command_leaves_nothing(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    with pytest.raises(InvalidArgumentError, match=r"commands\[1\].dispose_hook.hook_id"):
        await work.complete(turn, HookSpec("h", "token"), DisposeHookCommand(hook_id="no"))
    with pytest.raises(InvalidArgumentError, match=r"commands\[1\]: comes after the end"):
        await work.complete(turn, END, step("s1"))
    with pytest.raises(IdReusedError):
        await work.complete(turn, HookSpec("h", "token"), HookSpec("h", "other"))
    assert len(await work.log()) == 2
    with pytest.raises(HookNotFoundError):
        await work.call(resume_hook, "token", "p", Payload())
    assert await work.queue(STEP, "work") == []


async def test_a_cancelled_run_leaves_its_queues(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    await work.complete(turn, step("s1"), step("s2"), HookSpec("h", "token"))
    await work.call(resume_hook, "token", "p", Payload())
    leased = await work.taken()
    await work.call(cancel_run, "r", "")
    assert await work.store.transact(read_queue_names, None) == []
    with pytest.raises(RunNotActiveError):
        await work.report(leased, output=Payload())
    with pytest.raises(RunNotActiveError):
        await work.complete(turn, seen=6)


async def test_attributes_are_merged_and_bounded(work: Work) -> None:
    await work.start()
    turn = await work.turn()
    assert turn is not None
    outcome = await work.complete(
        turn,
        SetAttributesCommand(attributes={"a": "1", "b": "2"}),
        SetAttributesCommand(attributes={"a": "", "c": "3"}),
    )
    assert dict(outcome.run.record.attributes) == {"b": "2", "c": "3"}
    many = {f"n{i}": "v" for i in range(64)}
    with pytest.raises(InvalidArgumentError, match="66 of them"):
        await work.complete(turn, SetAttributesCommand(attributes=many), seen=4)


async def test_queues_are_named_without_reading_them_whole(work: Work) -> None:
    for i in range(5):
        await work.start(f"r{i}", workflow="b" if i % 2 else "a")
    names = await work.store.transact(read_queue_names, P)
    assert names == [(P, WORKFLOW, "a"), (P, WORKFLOW, "b")]
    assert await work.store.transact(read_queue_names, "other") == []
