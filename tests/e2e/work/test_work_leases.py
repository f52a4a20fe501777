"""Leases: kept, lost with a connection, lapsed, taken up after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import RUN_STATUS_COMPLETED

from tests.e2e.work.worker import (
    Worker,
    complete,
    connected,
    kinds,
    leased,
    queues,
    ref,
    schedule,
    start,
)
from tests.support.api import Api, refusal
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose leases are short."""
    with running(tmp_path, "--worker-lease=400ms") as daemon:
        yield daemon


def logged(daemon: Daemon, event: str) -> list[dict[str, object]]:
    """The lines of a daemon's log that tell of something."""
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    return [line for line in lines if line["event"] == event]


def test_a_turn_goes_to_another_when_its_stream_ends(api: Api) -> None:
    start(api)
    with connected(api) as first, connected(api) as second:
        holder, other = (second, first) if eventually_first(second, first) else (first, second)
        turn = holder.turn()
        holder.disconnect()
        assert other.turn().run_id == turn.run_id
        other.complete_turn(turn, complete())
        # What the first one was doing counts no more.
        assert refusal(holder.complete_turn, turn, complete()).reason == "RUN_NOT_ACTIVE"


def eventually_first(one: Worker, other: Worker) -> bool:
    """Whether ``one`` was handed something, and not ``other``."""
    eventually(lambda: one.has_turns() + other.has_turns() + one.has_steps() + other.has_steps())
    return bool(one.has_turns() + one.has_steps())


def test_a_step_goes_to_another_when_its_worker_does_not_come_back(api: Api) -> None:
    start(api)
    with connected(api) as first:
        first.complete_turn(first.turn(), schedule())
        step = first.step()
        with connected(api) as second:
            first.disconnect()
            again = second.step()
            assert (again.step_id, again.attempt) == (step.step_id, 2)
            assert refusal(first.complete_step, step).reason == "STALE_TURN"
            second.complete_step(again)
            assert kinds(second.turn().events)[-1] == "step_completed"


def test_a_worker_that_comes_back_keeps_its_steps(api: Api) -> None:
    run_id = start(api)
    with connected(api, max_steps=2) as worker:
        commands = [schedule(f"step-{n}") for n in range(4)]
        worker.complete_turn(worker.turn(), *commands)
        steps = [worker.step(), worker.step()]
        worker.disconnect()
        worker.ended()
        again = Worker(
            api,
            worker_id=worker.worker_id,
            max_steps=2,
            held_steps=[ref(step) for step in steps],
        ).connect()
        # It has no room, though its stream is new.
        leased(api, "charge", 2)
        again.complete_step(steps[0])
        assert again.step().step_id == "step-2"
        again.complete_step(steps[1])
        assert again.step().step_id == "step-3"
        assert api.events(run_id).count("step_completed") == 2
        again.disconnect()


def test_a_step_is_kept_by_heartbeats_without_a_stream(hasty: Daemon) -> None:
    api = Api(hasty.channel(), "p")
    start(api)
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), schedule())
        step = worker.step()
        worker.disconnect()
        worker.ended()
        with connected(api) as other:
            lost = start(api)
            for _ in range(3):
                # Something that is not kept lapses again and again meanwhile.
                assert eventually(lambda: kept(worker, step) and kept(other) and other.has_turns())
                assert other.turn().run_id == lost
            assert not other.has_steps()
            worker.complete_step(step)
            assert other.turn().events[-1].HasField("step_completed")


def test_a_second_stream_replaces_the_first_one(api: Api) -> None:
    start(api)
    with connected(api, max_turns=1) as first:
        turn = first.turn()
        second = Worker(api, worker_id=first.worker_id, max_turns=1).connect()
        assert first.ended() == grpc.StatusCode.OK
        # The lease is still its own, and it has no more room than before.
        waiting = start(api)
        assert queues(api)["flow"].leased == 1
        second.complete_turn(turn, complete())
        assert second.turn().run_id == waiting
        assert queues(api)["flow"].workers == [first.worker_id]
        second.disconnect()


def test_leases_lapse_without_heartbeats(hasty: Daemon) -> None:
    """A worker that says something, but not that it is at this, has lost it."""
    api = Api(hasty.channel(), "p")
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        eventually(lambda: worker.heartbeat() == [] and worker.has_turns())
        # Its stream is open: it may be handed the turn again.
        again = worker.turn()
        assert (again.run_id, again.last_seq) == (run_id, turn.last_seq)
        worker.complete_turn(again, schedule())
        step = worker.step()
        eventually(lambda: worker.heartbeat() == [] and worker.has_steps())
        second = worker.step()
        assert (second.step_id, second.attempt) == (step.step_id, 2)
        assert worker.heartbeat([step]) == [ref(step)]
        worker.complete_step(second)
    lapsed = logged(hasty, "lease lapsed")
    assert [line.get("step") for line in lapsed] == [None, "charge"]
    assert {line["run_id"] for line in lapsed} == {run_id}


@pytest.mark.parametrize("what", ["turn", "step"])
def test_a_worker_that_is_silent_is_not_handed_the_same_again(hasty: Daemon, what: str) -> None:
    """Its machine may be gone, and the connection does not know it."""
    api = Api(hasty.channel(), "p")
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        if what == "step":
            worker.complete_turn(turn, schedule())
            worker.step()
        assert worker.ended() == grpc.StatusCode.OK
        assert not worker.has_turns() + worker.has_steps()
        assert queues(api)["flow" if what == "turn" else "charge"].length == 1
        assert not queues(api)["flow" if what == "turn" else "charge"].workers
        # If it is there after all, it comes back, and goes on.
        with connected(api, worker_id=worker.worker_id) as again:
            assert (again.turn() if what == "turn" else again.step()).run_id == run_id
    (line,) = logged(hasty, "worker silent, its stream is ended")
    assert line["worker_id"] == worker.worker_id


def test_a_worker_that_has_nothing_to_do_may_be_silent(hasty: Daemon) -> None:
    api = Api(hasty.channel(), "p")
    with connected(api) as idle, connected(api, {"other": "v1"}, []) as busy:
        start(api, workflow="other")
        for _ in range(3):  # Two leases later
            busy.turn()
            eventually(lambda: busy.heartbeat() == [] and busy.has_turns())
        run_id = start(api)
        assert idle.turn().run_id == run_id


def test_heartbeats_keep_leases(hasty: Daemon) -> None:
    api = Api(hasty.channel(), "p")
    start(api)
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), schedule())
        step = worker.step()
        start(api)
        turn = worker.turn()
        other = Worker(api, {"other": "v1"}, []).connect()
        lost = start(api, workflow="other")
        for _ in range(3):
            # What is not kept lapses again and again meanwhile.
            assert eventually(
                lambda: kept(worker, step, [turn]) and kept(other) and other.has_turns()
            )
            assert other.turn().run_id == lost
        assert not worker.has_turns()
        assert not worker.has_steps()
        assert worker.complete_step(step).duplicate is False
        worker.complete_turn(turn, complete())
        other.disconnect()
    assert {line["run_id"] for line in logged(hasty, "lease lapsed")} == {lost}


def kept(
    worker: Worker, step: pb.StepTask | None = None, turns: Sequence[pb.TurnTask] = ()
) -> bool:
    """Says that a worker is at something, if at anything; true when it still has the step."""
    return worker.heartbeat([step] if step else [], turns) == []


def test_a_step_that_loses_worker_after_worker_fails(hasty: Daemon) -> None:
    """It costs no retry, but ten of them are enough."""
    api = Api(hasty.channel(), "p")
    run_id = start(api)
    with connected(api, steps=["charge"], max_steps=1) as worker:
        turn = worker.turn()
        worker.complete_turn(turn, schedule(max_retries=0))
        for attempt in range(1, 11):
            eventually(lambda: worker.heartbeat() == [] and worker.has_steps())
            assert worker.step().attempt == attempt
        eventually(lambda: worker.heartbeat() == [] and worker.has_turns())
        turn = worker.turn()
        assert kinds(turn.events) == ["step_failed"]
        assert turn.events[0].step_failed.failure.type == "WORKER_LOST"
        assert turn.run_id == run_id


def test_everything_is_ready_again_after_a_crash(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    runs = [start(api) for _ in range(3)]
    with connected(api) as worker:
        turns = [worker.turn() for _ in runs]
        worker.complete_turn(turns[0], schedule())
        daemon.kill()
        assert worker.ended() == grpc.StatusCode.UNAVAILABLE
    daemon.start()
    api = Api(daemon.channel(), "p")
    with connected(api) as another:
        assert sorted(another.turn().run_id for _ in range(2)) == sorted(runs[1:])
        # What was reported before the crash is reported.
        told = refusal(another.complete_turn, turns[0], complete())
        assert told.reason == "STALE_TURN"


def test_a_step_in_progress_is_taken_up_after_a_crash(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    start(api, "r")
    worker = Worker(api).connect()
    worker.complete_turn(worker.turn(), schedule("step-1"), schedule("step-2"))
    steps = sorted([worker.step(), worker.step()], key=lambda step: step.step_id)
    daemon.restart()
    api = Api(daemon.channel(), "p")
    with connected(api, {}) as stranger:
        # It may not have them: their worker may still be at it.
        start(api, "s")
        with connected(api, worker_id=worker.worker_id, held_steps=[ref(steps[0])]) as again:
            assert again.heartbeat([steps[1]]) == []
            leased(api, "charge", 2)
            assert not stranger.has_steps()
            for step in steps:
                assert not again.complete_step(step).duplicate
            turns = {turn.run_id: turn for turn in (again.turn(), again.turn())}
            again.complete_turn(turns["r"], complete())
    assert api.run("r").status == RUN_STATUS_COMPLETED
    assert {e.step_completed.attempt for e in api.log("r") if e.HasField("step_completed")} == {1}


def test_a_step_that_nobody_takes_up_after_a_crash_is_offered_again(hasty: Daemon) -> None:
    api = Api(hasty.channel(), "p")
    start(api)
    worker = Worker(api).connect()
    worker.complete_turn(worker.turn(), schedule())
    step = worker.step()
    hasty.restart()
    api = Api(hasty.channel(), "p")
    with connected(api) as another:
        again = another.step()
        assert (again.step_id, again.attempt) == (step.step_id, 2)
        late = Worker(api, worker_id=worker.worker_id)
        assert late.heartbeat([step]) == [ref(step)]
        with connected(api, worker_id=worker.worker_id, held_steps=[ref(step)]) as back:
            assert back.dropped() == ref(step)
        another.complete_step(again)


def test_a_worker_is_told_at_once_that_the_daemon_goes_down(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    start(api)
    with connected(api) as worker:
        worker.turn()
        assert daemon.terminate() == 0
        assert worker.ended() == grpc.StatusCode.UNAVAILABLE
    (line,) = logged(daemon, "draining")
    (end,) = logged(daemon, "stopped")
    assert line
    assert end


def test_workers_that_come_and_go_are_logged(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    with connected(api, name="host-1:4711") as worker:
        pass
    eventually(lambda: logged(daemon, "worker gone"))
    (came,) = logged(daemon, "worker connected")
    assert (came["worker_id"], came["worker"]) == (worker.worker_id, "host-1:4711")
    assert (came["workflows"], came["steps"]) == (["flow"], 1)
