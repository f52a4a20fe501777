"""Steps: attempts, retries, lost workers, and one result."""

from __future__ import annotations

import pytest
from hookd.v1.common_pb2 import Payload
from hookd.v1.events_pb2 import RetryPolicy
from hookd.v1.worker_service_pb2 import CancelStepCommand, StepFailure
from hookd_daemon.core.queues import STEP, WORKFLOW, read_queue_names
from hookd_daemon.core.steps import (
    MAX_LOSSES,
    LeasedStep,
    Parked,
    adopt_step,
    lose_step,
    retry_delay_ms,
)
from hookd_daemon.core.unserved import fail_unserved
from hookd_daemon.errors import StaleTurnError
from hookd_daemon.store.tx import Store

from tests.conformance.work import LEASE_MS, Work, failure, step

OUT = Payload(data=b"out")


@pytest.fixture
async def work(store: Store) -> Work:
    """A run that has scheduled two steps and waits for them."""
    work = Work(store)
    await work.start()
    turn = await work.turn()
    assert turn is not None
    await work.complete(turn, step("s1"), step("s2", "other", retries=0))
    return work


async def test_the_result_of_a_step_wakes_its_run(work: Work) -> None:
    leased = await work.taken()
    assert (leased.step_id, leased.record.attempt, leased.last_attempt) == ("s1", 1, False)
    assert leased.scheduled.step_scheduled.input.data == b"s1"
    assert await work.turn() is None
    work.now += 70
    assert not (await work.report(leased, output=OUT)).duplicate
    event = (await work.log())[-1]
    assert event.step_completed.output == OUT
    assert event.step_completed.started_at.ToMilliseconds() == work.now - 70
    turn = await work.turn(after=4)
    assert turn is not None
    assert [e.WhichOneof("data") for e in turn.events] == ["step_completed"]
    assert await work.queue(STEP, "work") == []


async def test_a_result_is_recorded_once(work: Work) -> None:
    leased = await work.taken()
    await work.report(leased, output=OUT)
    assert (await work.report(leased, output=Payload(data=b"else"))).duplicate
    assert (await work.kinds()).count("step_completed") == 1


async def test_retries_come_later_and_later_and_end(work: Work) -> None:
    waits = []
    for attempt in (1, 2, 3):
        leased = await work.taken()
        assert (leased.record.attempt, leased.last_attempt) == (attempt, False)
        await work.report(leased, failure=failure())
        event = (await work.log())[-1]
        assert event.step_retrying.attempt == attempt
        due = event.step_retrying.next_attempt_at.ToMilliseconds()
        waits.append(due - work.now)
        assert await work.step() is None
        work.now = due - 1
        assert await work.sweep() == 0
        work.now = due
        assert await work.sweep() == 1
    assert waits == [1_000, 2_000, 4_000]
    leased = await work.taken()
    assert leased.last_attempt
    await work.report(leased, failure=failure("KeyError"))
    failed = (await work.log())[-1].step_failed
    assert (failed.attempt, failed.failure.type) == (4, "KeyError")
    assert await work.step() is None


async def test_the_report_of_a_failure_again_costs_no_retry(work: Work) -> None:
    leased = await work.taken()
    await work.report(leased, failure=failure())
    assert (await work.report(leased, failure=failure())).duplicate
    work.now += 1_000
    await work.sweep()
    assert (await work.report(leased, failure=failure())).duplicate
    assert (await work.kinds()).count("step_retrying") == 1


async def test_a_final_failure_and_no_retries_end_at_once(work: Work) -> None:
    await work.report(await work.taken(), failure=failure(final=True))
    await work.report(await work.taken("other"), failure=failure())
    assert (await work.kinds())[-2:] == ["step_failed", "step_failed"]
    assert await work.sweep() == 0


async def test_a_worker_may_choose_when_to_retry(work: Work) -> None:
    report = failure()
    report.retry_after.FromMilliseconds(90_000)
    await work.report(await work.taken(), failure=report)
    due = (await work.log())[-1].step_retrying.next_attempt_at.ToMilliseconds()
    assert due - work.now == 90_000


async def test_a_late_report_of_an_attempt_that_is_over_is_refused(work: Work) -> None:
    first = await work.taken()
    await work.call(lose_step, "r", "s1", 1)
    second = await work.taken()
    assert second.record.attempt == 2
    with pytest.raises(StaleTurnError, match="attempt 2 has begun"):
        await work.report(first, output=OUT, attempt=1)
    await work.report(second, output=OUT)
    with pytest.raises(StaleTurnError):
        await work.report(first, output=OUT, attempt=1)


async def test_a_lost_worker_costs_no_retry(work: Work) -> None:
    for attempt in range(1, 6):
        leased = await work.taken("other")
        assert leased.last_attempt
        await work.call(lose_step, "r", "s2", attempt)
    await work.report(await work.taken("other"), output=OUT)
    assert (await work.kinds())[-1] == "step_completed"
    for attempt in range(1, 5):
        await work.taken()
        await work.call(lose_step, "r", "s1", attempt)
    await work.report(await work.taken(), failure=failure())
    assert (await work.kinds())[-1] == "step_retrying"


async def test_a_step_that_loses_worker_after_worker_fails(work: Work) -> None:
    for attempt in range(1, MAX_LOSSES + 1):
        await work.taken()
        await work.call(lose_step, "r", "s1", attempt)
        await work.call(lose_step, "r", "s1", attempt - 1)
    event = (await work.log())[-1]
    assert event.step_failed.failure.type == "WORKER_LOST"
    assert await work.step() is None


async def test_a_step_that_is_handed_back_is_there_for_the_next(work: Work) -> None:
    await work.report(await work.taken(), hand_back=True)
    work.now += 10
    work.booted = work.now
    leased = await work.taken()
    assert (leased.record.attempt, leased.record.failures) == (2, 0)


async def test_after_a_restart_a_step_waits_for_its_worker(work: Work) -> None:
    leased = await work.taken()
    work.now += 10
    work.booted = work.now
    parked = await work.step()
    assert parked == Parked(work.booted + LEASE_MS)
    entry = await work.call(adopt_step, "r", "s1", 1)
    assert entry is not None
    assert entry.number == (await work.queue(STEP, "work"))[0].number
    assert await work.call(adopt_step, "r", "s1", 2) is None
    work.now += LEASE_MS
    again = await work.step()
    assert isinstance(again, LeasedStep)
    assert await work.call(adopt_step, "r", "s1", leased.record.attempt - 1) is None


async def test_after_a_restart_a_retry_waits_for_nobody(work: Work) -> None:
    await work.report(await work.taken(), failure=failure())
    work.now += 1_000
    work.booted = work.now
    await work.sweep()
    assert (await work.taken()).record.attempt == 2


async def test_a_cancelled_step_is_offered_to_nobody(work: Work) -> None:
    leased = await work.taken()
    turn = await work.report(await work.taken("other"), output=OUT, take_turn_after=4)
    assert turn.turn is not None
    assert turn.entry is not None
    assert turn.entry.number == (await work.queue(WORKFLOW, "flow"))[0].number
    await work.complete(turn.turn, CancelStepCommand(step_id="s1"), CancelStepCommand(step_id="s2"))
    events = (await work.log())[-2:]
    assert [e.step_cancelled.already_ended for e in events] == [False, True]
    assert await work.step() is None
    with pytest.raises(StaleTurnError, match="was cancelled"):
        await work.report(leased, output=OUT)


async def test_a_turn_may_take_its_own_steps(work: Work) -> None:
    await work.report(await work.taken(), output=OUT)
    turn = await work.turn()
    assert turn is not None
    outcome = await work.complete(
        turn,
        step("a"),
        step("b", "not-mine"),
        step("c"),
        step("d"),
        CancelStepCommand(step_id="a"),
        take_from=frozenset({"work"}),
        take_steps=1,
    )
    assert [leased.step_id for leased in outcome.steps] == ["c"]
    assert outcome.steps[0].record.attempt == 1
    assert len(await work.queue(STEP, "work")) == 2


def test_the_time_between_attempts_is_bounded() -> None:
    policy = RetryPolicy(max_retries=1_000, backoff=10)
    policy.initial_interval.FromMilliseconds(50)
    policy.max_interval.FromMilliseconds(60_000)
    assert [retry_delay_ms(policy, n) for n in (1, 2, 3, 900)] == [50, 500, 5_000, 60_000]
    assert retry_delay_ms(RetryPolicy(), 30) == 3_600_000


async def test_an_unreasonable_wait_is_cut(work: Work) -> None:
    report = StepFailure(failure=failure().failure)
    report.retry_after.FromSeconds(10**10)
    await work.report(await work.taken(), failure=report)
    due = (await work.log())[-1].step_retrying.next_attempt_at.ToMilliseconds()
    assert due - work.now == 366 * 86_400_000


async def test_work_that_nobody_serves_fails_its_run(work: Work) -> None:
    (entry,) = await work.queue(STEP, "work")
    await work.report(await work.taken(), output=OUT)
    assert not await work.call(fail_unserved, entry)
    (entry,) = await work.queue(STEP, "other")
    assert await work.call(fail_unserved, entry)
    last = (await work.log())[-1].run_failed.failure
    assert (last.type, last.message) == ("STEP_NOT_SERVED", "no worker serves the step other")
    await work.start("new", workflow="nobody")
    (entry,) = await work.queue(WORKFLOW, "nobody")
    assert await work.call(fail_unserved, entry)
    assert (await work.log("new"))[-1].run_failed.failure.type == "WORKFLOW_NOT_SERVED"
    assert await work.store.transact(read_queue_names, None) == []


async def test_a_step_that_has_failed_for_its_losses_takes_no_late_result(work: Work) -> None:
    """The other step is open still: a second end would not even be noticed."""
    for attempt in range(1, MAX_LOSSES + 1):
        leased = await work.taken()
        await work.call(lose_step, "r", "s1", attempt)
    log = await work.log()
    assert log[-1].WhichOneof("data") == "step_failed"
    with pytest.raises(StaleTurnError):
        await work.report(leased, output=OUT)
    assert await work.log() == log
