"""What people see of the queues, and what becomes of work that nobody serves."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import (
    RUN_STATUS_FAILED,
    RUN_STATUS_PENDING,
    WAIT_KIND_CHILD,
    WAIT_KIND_HOOK,
    WAIT_KIND_RETRY,
    WAIT_KIND_STEP,
    WAIT_KIND_TIMER,
    WAIT_KIND_TURN,
    HookSpec,
)

from tests.e2e.work.worker import (
    complete,
    connected,
    leased,
    queues,
    schedule,
    start,
    waits,
)
from tests.support.api import Api, seconds
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running


def timer(timer_id: str, after: float) -> pb.Command:
    return pb.Command(start_timer=pb.StartTimerCommand(timer_id=timer_id, after=seconds(after)))


def child(run_id: str) -> pb.Command:
    return pb.Command(start_child=pb.StartChildCommand(run_id=run_id, workflow="small"))


def test_queues_tell_what_waits_and_who_serves_it(api: Api) -> None:
    assert queues(api) == {}
    first = start(api, "r")
    for _ in range(4):
        start(api)
    waiting = queues(api)["flow"]
    assert (waiting.kind, waiting.length, waiting.leased) == (pb.QUEUE_KIND_WORKFLOW, 5, 0)
    assert waiting.oldest == api.run(first).created_at
    assert list(waiting.workers) == []
    with connected(api, max_turns=2, name="b"), connected(api, max_turns=1, name="a"):
        leased(api, "flow", 3)
        found = queues(api)
        assert list(found) == ["flow", "charge"]
        assert (found["flow"].length, list(found["flow"].workers)) == (5, ["a", "b"])
        idle = found["charge"]
        assert (idle.kind, idle.length, idle.HasField("oldest")) == (
            pb.QUEUE_KIND_STEP,
            0,
            False,
        )
        assert list(idle.workers) == ["a", "b"]


def test_a_queue_is_counted_up_to_a_thousand(api: Api) -> None:
    with connected(api, steps=["other"]) as worker:
        for _ in range(2):
            start(api)
            worker.complete_turn(worker.turn(), *[schedule(f"step-{n}") for n in range(600)])
        assert queues(api)["charge"].length == 1000


def test_a_run_tells_what_it_waits_for(api: Api) -> None:
    start(api, "r")
    (wait,) = waits(api, "r")
    assert (wait.kind, wait.name, wait.unserved) == (WAIT_KIND_TURN, "flow", True)
    with connected(api, steps=["charge", "pack"], max_steps=2) as worker:
        turn = worker.turn()
        (wait,) = waits(api, "r")
        assert (wait.kind, wait.unserved) == (WAIT_KIND_TURN, False)
        worker.complete_turn(
            turn,
            schedule("step-1", "charge"),
            schedule("step-2", "pack", max_retries=1, initial_interval=seconds(3600)),
            schedule("step-3", "ship"),
            timer("timer-1", 3600),
            pb.Command(create_hook=HookSpec(hook_id="hook-1", token="t")),
            child("c"),
        )
        steps = {step.name: step for step in (worker.step(), worker.step())}
        worker.fail_step(steps["pack"])
        found = {wait.correlation_id: wait for wait in waits(api, "r")}
        assert {key: wait.kind for key, wait in found.items()} == {
            "step-1": WAIT_KIND_STEP,
            "step-2": WAIT_KIND_RETRY,
            "step-3": WAIT_KIND_STEP,
            "timer-1": WAIT_KIND_TIMER,
            "hook-1": WAIT_KIND_HOOK,
            "c": WAIT_KIND_CHILD,
        }
        one, two, three = (found[f"step-{n}"] for n in (1, 2, 3))
        assert (one.name, one.attempt, one.unserved) == ("charge", 1, False)
        assert two.until.seconds > api.run("r").created_at.seconds + 3000
        assert (three.name, three.attempt, three.unserved) == ("ship", 0, True)
        assert found["hook-1"].name == "t"
        assert found["timer-1"].until.seconds > api.run("r").created_at.seconds + 3000
        assert found["c"].name == "small"
        assert api.run("c").parent_run_id == "r"
        # What has ended is not waited for any more.
        worker.complete_step(steps["charge"])
        turn = worker.turn()
        worker.complete_turn(turn)
        api.cancel("c")
        assert "c" not in {wait.correlation_id for wait in waits(api, "r")}
        api.cancel("r")
        assert waits(api, "r") == []


def test_a_run_that_waits_for_a_lot_tells_a_part_of_it(api: Api) -> None:
    start(api, "r")
    with connected(api, steps=[]) as worker:
        commands = [schedule(f"step-{n}") for n in range(300)]
        worker.complete_turn(worker.turn(), *commands, timer("timer-1", 60))
        assert len(waits(api, "r")) == 100


def test_unknown_workflow_or_step_name_fails_if_so_configured(tmp_path: Path) -> None:
    with running(tmp_path, "--fail-unserved-after=500ms") as daemon:
        api = Api(daemon.channel(), "p")
        run = api.ended(start(api, workflow="nobody"))
        assert (run.status, run.failure.type) == (RUN_STATUS_FAILED, "WORKFLOW_NOT_SERVED")
        assert "nobody" in run.failure.message
        with connected(api, max_turns=1) as worker:
            start(api, "r")
            worker.complete_turn(worker.turn(), schedule("step-1", "unheard-of"))
            run = api.ended("r")
            assert (run.status, run.failure.type) == (RUN_STATUS_FAILED, "STEP_NOT_SERVED")
            # A worker is there and only has no room: that is no reason to fail.
            held = start(api)
            assert worker.turn().run_id == held
            queued = start(api)
            other = start(api, workflow="nobody")
            assert api.ended(other).status == RUN_STATUS_FAILED
            assert api.run(queued).status == RUN_STATUS_PENDING
        many = [start(api, workflow="nobody") for _ in range(150)]
        for run_id in many:
            assert api.ended(run_id).status == RUN_STATUS_FAILED


def test_a_worker_that_restarts_is_waited_for(tmp_path: Path) -> None:
    """What counts is for how long nobody was there, and not for how long the run waits."""
    with running(tmp_path, "--fail-unserved-after=1s") as daemon:
        api = Api(daemon.channel(), "p")
        with connected(api, max_turns=0) as worker:
            old = start(api)
            # When this one fails, the other is as old.
            assert api.ended(start(api, workflow="nobody")).status == RUN_STATUS_FAILED
            assert api.run(old).status == RUN_STATUS_PENDING
            gone = time.time_ns()
            worker.disconnect()
            ended = api.ended(old)
    assert ended.status == RUN_STATUS_FAILED
    assert ended.ended_at.ToNanoseconds() - gone > 990_000_000


def test_unknown_workflow_waits_if_not(api: Api) -> None:
    run_id = start(api, workflow="nobody")
    (wait,) = waits(api, run_id)
    assert (wait.kind, wait.name, wait.unserved) == (WAIT_KIND_TURN, "nobody", True)


def test_work_is_counted(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    start(api)
    with connected(api) as worker:
        commands = [
            schedule("step-1", max_retries=1, initial_interval=seconds(0)),
            schedule("step-2"),
            timer("timer-1", 0),
        ]
        turn = worker.turn()
        assert metrics(daemon)['hookd_leases_active{kind="turn"}'] == 1
        answer = worker.complete_turn(turn, *commands, take_steps=2)
        assert metrics(daemon)['hookd_leases_active{kind="step"}'] == 2
        worker.fail_step(answer.steps[0])
        worker.complete_step(worker.step())
        worker.fail_step(answer.steps[1])
        turn = worker.turn()
        eventually(lambda: metrics(daemon)["hookd_timers_fired_total"] == 1)
        worker.complete_turn(turn, complete())
        found = metrics(daemon)
        assert found["hookd_workers_connected"] == 1
        counted = {
            name: found[f"hookd_{name}_total"]
            for name in (
                "turns",
                "steps_started",
                "steps_completed",
                "steps_failed",
                "steps_retried",
                "steps_lost",
                "timers_fired",
            )
        }
        assert counted == {
            "turns": 2,
            "steps_started": 3,
            "steps_completed": 1,
            "steps_failed": 1,
            "steps_retried": 1,
            "steps_lost": 0,
            "timers_fired": 1,
        }


def metrics(daemon: Daemon) -> dict[str, float]:
    """The metrics of a daemon by name and labels."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics") as response:
        lines = response.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}
