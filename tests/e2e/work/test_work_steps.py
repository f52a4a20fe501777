"""Steps: handed out, reported, tried again, dropped."""

from __future__ import annotations

import pytest
from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import RUN_STATUS_COMPLETED

from tests.e2e.work.worker import (
    Worker,
    cancel_step,
    complete,
    connected,
    kinds,
    leased,
    queues,
    ref,
    schedule,
    start,
    text_of,
)
from tests.support.api import Api, json_payload, refusal, seconds


def test_a_step_is_handed_out_and_its_result_wakes_the_run(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        answer = worker.complete_turn(turn, schedule("step-1", "charge", '"a"'))
        assert (kinds(answer.events), len(answer.steps)) == (["step_scheduled"], 0)
        step = worker.step()
        assert ref(step) == pb.StepRef(run_id=run_id, step_id="step-1", attempt=1)
        assert (step.name, step.workflow, text_of(step.input)) == ("charge", "flow", '"a"')
        assert step.last_attempt  # nobody asked for retries
        assert step.scheduled_at == answer.events[0].time
        done = worker.complete_step(step, '"b"')
        assert not done.duplicate
        assert not done.HasField("turn")
        turn = worker.turn()
        assert (kinds(turn.events), turn.after_seq) == (["step_completed"], answer.last_seq)
        assert turn.events[0].step_completed.output == json_payload('"b"')
        worker.complete_turn(turn, complete())
    assert api.run(run_id).status == RUN_STATUS_COMPLETED


def test_steps_and_turns_come_with_the_answers(api: Api) -> None:
    """A worker that does all by itself needs nothing from its stream but the first turn."""
    run_id = start(api)
    with connected(api, max_turns=1, max_steps=2) as worker:
        turn = worker.turn()
        scheduled = [schedule(f"step-{n}", text=str(n)) for n in (1, 2, 3)]
        answer = worker.complete_turn(turn, *scheduled, take_steps=5)
        # It takes no more than it has room for.
        assert [step.step_id for step in answer.steps] == ["step-1", "step-2"]
        done = worker.complete_step(answer.steps[0], take_turn=True)
        assert (done.turn.run_id, done.turn.after_seq) == (run_id, answer.last_seq)
        assert kinds(done.turn.events) == ["step_completed"]
        # Its only turn is taken: the next result is told with the turn's answer.
        other = worker.complete_step(answer.steps[1], take_turn=True)
        assert not other.HasField("turn")
        answer = worker.complete_turn(done.turn)
        assert (kinds(answer.events), answer.goes_on) == (["step_completed"], True)
        answer = worker.complete_turn(done.turn, seen_seq=answer.last_seq)
        assert not answer.goes_on
        done = worker.complete_step(worker.step(), take_turn=True)
        assert kinds(done.turn.events) == ["step_completed"]
        worker.complete_turn(done.turn, complete())
        assert not worker.has_turns()
    assert api.run(run_id).status == RUN_STATUS_COMPLETED


def test_only_steps_that_the_worker_serves_come_with_the_answer(api: Api) -> None:
    start(api)
    with connected(api, steps=["ship"]) as worker:
        commands = [schedule("step-1", "charge"), schedule("step-2", "ship")]
        answer = worker.complete_turn(worker.turn(), *commands, take_steps=2)
        assert [step.step_id for step in answer.steps] == ["step-2"]
        assert (queues(api)["charge"].length, queues(api)["charge"].leased) == (1, 0)
        assert queues(api)["ship"].leased == 1


def test_who_has_not_the_run_in_memory_takes_no_turn(api: Api) -> None:
    run_id = start(api)
    with connected(api, steps=[]) as owner, connected(api, {}) as helper:
        answer = owner.complete_turn(owner.turn(), schedule())
        done = helper.complete_step(helper.step(), take_turn=True)
        assert not done.HasField("turn")
        turn = owner.turn()
        assert (turn.run_id, turn.after_seq) == (run_id, answer.last_seq)


def test_who_has_no_room_takes_no_turn(api: Api) -> None:
    start(api, "r")
    with connected(api, max_turns=1) as worker:
        (step,) = worker.complete_turn(worker.turn(), schedule(), take_steps=1).steps
        start(api, "s")
        busy = worker.turn()
        assert not worker.complete_step(step, take_turn=True).HasField("turn")
        worker.complete_turn(busy, complete())
        assert worker.turn().run_id == "r"


def test_a_step_that_fails_is_tried_again_until_its_policy_ends(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        retry = {"max_retries": 2, "initial_interval": seconds(0.01)}
        worker.complete_turn(worker.turn(), schedule(**retry))
        for attempt in (1, 2, 3):
            step = worker.step()
            assert (step.attempt, step.last_attempt) == (attempt, attempt == 3)
            worker.fail_step(step, f"attempt {attempt}")
        turn = worker.turn()
        assert kinds(turn.events) == ["step_retrying", "step_retrying", "step_failed"]
        failed = turn.events[-1].step_failed
        assert (failed.attempt, failed.failure.message) == (3, "attempt 3")


def test_a_final_failure_is_not_tried_again(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), schedule(max_retries=5))
        worker.fail_step(worker.step(), final=True)
        assert kinds(worker.turn().events) == ["step_failed"]


def test_a_step_says_when_to_try_again(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        retry = {"max_retries": 1, "initial_interval": seconds(3600)}
        worker.complete_turn(worker.turn(), schedule(**retry))
        worker.fail_step(worker.step(), retry_after=seconds(0.01))
        assert worker.step().attempt == 2


def test_a_result_is_reported_once(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), schedule())
        step = worker.step()
        assert not worker.complete_step(step, '"first"').duplicate
        assert worker.complete_step(step, '"second"').duplicate
        turn = worker.turn()
        (event,) = turn.events
        assert event.step_completed.output == json_payload('"first"')
        worker.complete_turn(turn, complete())
        # Also when the run has ended.
        assert worker.complete_step(step, '"third"').duplicate
    assert api.events(run_id).count("step_completed") == 1


def test_a_turn_that_was_in_a_lost_answer_is_handed_out_again(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        answer = worker.complete_turn(worker.turn(), schedule(), take_steps=1)
        (step,) = answer.steps
        assert worker.complete_step(step, take_turn=True).HasField("turn")
        again = worker.complete_step(step, take_turn=True)
        assert again.duplicate
        assert not again.HasField("turn")
        turn = worker.turn()
        assert kinds(turn.events) == ["step_completed"]
        worker.complete_turn(turn, complete())


def test_a_step_that_is_handed_back_goes_to_another_at_once(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), schedule(max_retries=0))
        step = worker.step()
        with connected(api) as another:
            worker.disconnect()
            worker.ended()
            worker.complete_step(step, hand_back=pb.HandBack())
            second = another.step()
            # Nothing came of it: it is no failure, but another attempt.
            assert (second.attempt, second.last_attempt) == (2, True)
            assert worker.complete_step(step).duplicate
            another.complete_step(second)
            assert kinds(another.turn().events)[-1] == "step_completed"


def test_a_cancelled_step_is_dropped(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        answer = worker.complete_turn(turn, schedule("step-1"), schedule("step-2"))
        one, two = sorted([worker.step(), worker.step()], key=lambda step: step.step_id)
        worker.complete_step(two)
        turn = worker.turn()
        answer = worker.complete_turn(turn, cancel_step("step-1"), cancel_step("step-2"))
        assert kinds(answer.events) == ["step_cancelled"] * 2
        assert [e.step_cancelled.already_ended for e in answer.events] == [False, True]
        assert worker.dropped() == ref(one)
        assert refusal(worker.complete_step, one).reason == "STALE_TURN"
        assert worker.heartbeat([one, two]) == [ref(one), ref(two)]
        leased(api, "charge", 0)
        worker.complete_turn(turn, complete(), seen_seq=answer.last_seq)
    assert api.run(run_id).status == RUN_STATUS_COMPLETED


def test_run_cancel_inside_a_step(api: Api) -> None:
    """The worker is told, has room again, and its late result is dropped."""
    run_id = start(api)
    with connected(api, max_steps=1) as worker:
        (step,) = worker.complete_turn(worker.turn(), schedule(), take_steps=1).steps
        api.cancel(run_id)
        assert worker.dropped() == ref(step)
        assert refusal(worker.complete_step, step).reason == "RUN_NOT_ACTIVE"
        start(api)
        worker.complete_turn(worker.turn(), schedule())
        assert worker.step().step_id == "step-1"
    assert api.events(run_id)[-1] == "run_cancelled"


@pytest.mark.parametrize("how", ["stream", "answer"])
def test_the_steps_of_a_run_that_ends_are_dropped(api: Api, how: str) -> None:
    start(api)
    with connected(api) as worker:
        turn = worker.turn()
        take = 2 if how == "answer" else 0
        commands = [schedule("step-1"), schedule("step-2")]
        answer = worker.complete_turn(turn, *commands, take_steps=take)
        steps = list(answer.steps) or [worker.step(), worker.step()]
        worker.complete_turn(turn, complete(), seen_seq=answer.last_seq)
        told = [worker.dropped(), worker.dropped()]
        assert sorted(r.step_id for r in told) == sorted(s.step_id for s in steps)
        assert worker.heartbeat(steps) == [ref(step) for step in steps]


def test_a_step_is_not_dropped_by_the_end_of_another_run(api: Api) -> None:
    start(api, "a")
    start(api, "b")
    with connected(api) as worker:
        for _ in range(2):
            worker.complete_turn(worker.turn(), schedule())
        steps = {step.run_id: step for step in (worker.step(), worker.step())}
        api.cancel("a")
        assert worker.dropped() == ref(steps["a"])
        assert worker.heartbeat([steps["b"]]) == []
        worker.complete_step(steps["b"])
        assert worker.turn().run_id == "b"


def test_reports_of_strangers(api: Api) -> None:
    run_id = start(api)
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), schedule())
        step = worker.step()
        nobody = Worker(api, worker_id="nobody")
        for field, value, reason in (
            ("run_id", "no-such-run", "RUN_NOT_FOUND"),
            ("step_id", "no-such-step", "STALE_TURN"),
            ("attempt", 2, "STALE_TURN"),
            ("incarnation", step.incarnation + 1, "STALE_TURN"),
        ):
            wrong = pb.StepTask()
            wrong.CopyFrom(step)
            setattr(wrong, field, value)
            assert refusal(nobody.complete_step, wrong).reason == reason
        # Nothing of that has changed anything.
        assert worker.heartbeat([step]) == []
        worker.complete_step(step)
        assert api.events(run_id)[-1] == "step_completed"
