"""Who gets what: room, turns between queues, memory of runs, versions of code."""

from __future__ import annotations

import json
from pathlib import Path

from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import HookSpec

from tests.e2e.work.worker import (
    Worker,
    complete,
    connected,
    leased,
    queues,
    schedule,
    start,
)
from tests.support.api import Api
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running


def put_aside(worker: Worker, token: str, version: str = "") -> pb.CompleteTurnResponse:
    """Completes a worker's next turn so that its run waits for a token."""
    hook = pb.Command(create_hook=HookSpec(hook_id="hook-1", token=token))
    return worker.complete_turn(worker.turn(), hook, version=version)


def test_a_worker_has_no_more_than_it_has_room_for(api: Api) -> None:
    for _ in range(5):
        start(api)
    with connected(api, max_turns=2, max_steps=3) as worker:
        leased(api, "flow", 2)
        first = worker.turn()
        eventually(lambda: worker.has_turns() == 1)
        worker.complete_turn(first, *[schedule(f"step-{n}") for n in range(5)])
        # One turn has ended, another has come; and of five steps three.
        leased(api, "flow", 2)
        leased(api, "charge", 3)
        steps = [worker.step() for _ in range(3)]
        eventually(lambda: worker.has_turns() == 2)
        assert worker.has_steps() == 0
        worker.complete_step(steps[0])
        assert worker.step().step_id == "step-3"
        assert queues(api)["charge"].leased == 3


def test_a_worker_without_room_for_steps_gets_turns_only(api: Api) -> None:
    with connected(api, max_steps=0) as worker:
        start(api)
        answer = worker.complete_turn(worker.turn(), schedule(), take_steps=4)
        assert not answer.steps
        assert (queues(api)["charge"].length, queues(api)["charge"].leased) == (1, 0)
        with connected(api, {}) as another:
            another.complete_step(another.step())
        assert worker.turn().events[-1].HasField("step_completed")


def test_a_long_queue_does_not_keep_a_short_one_waiting(api: Api) -> None:
    for _ in range(300):
        start(api, workflow="long")
    for _ in range(3):
        start(api, workflow="short")
    order = []
    with connected(api, {"long": "v1", "short": "v1"}, max_turns=1) as worker:
        for _ in range(12):
            turn = worker.turn()
            order.append(turn.workflow)
            worker.complete_turn(turn, complete())
    assert order.count("short") == 3, order


def test_the_turns_of_a_queue_come_in_their_order(api: Api) -> None:
    wanted = [start(api) for _ in range(600)]
    with connected(api, max_turns=1) as worker:
        order = []
        for _ in wanted:
            turn = worker.turn()
            order.append(turn.run_id)
            worker.complete_turn(turn, complete())
    assert order == wanted


def test_work_is_spread_over_the_workers(api: Api) -> None:
    with connected(api) as one, connected(api) as two, connected(api) as three:
        for _ in range(6):
            start(api)
        leased(api, "flow", 6)
        for worker in (one, two, three):
            assert [worker.turn() for _ in range(2)]


def test_a_run_goes_back_to_the_worker_that_has_it_in_memory(api: Api) -> None:
    with connected(api, max_turns=1) as first:
        start(api, "r")
        answer = put_aside(first, "for-r")
        start(api, "s")
        put_aside(first, "for-s")
        with connected(api) as second:
            for _ in range(3):
                api.resume("for-r")
                turn = first.turn()
                assert (turn.run_id, turn.after_seq) == ("r", answer.last_seq)
                answer = first.complete_turn(turn)
            # When it has no room, another one has to begin from the beginning.
            api.resume("for-s")
            assert first.turn().run_id == "s"
            api.resume("for-r")
            turn = second.turn()
            assert (turn.run_id, turn.after_seq, turn.events[0].seq) == ("r", 0, 1)


def test_a_worker_that_has_gone_is_not_waited_for(api: Api) -> None:
    start(api, "r")
    with connected(api) as first:
        put_aside(first, "t")
        first.disconnect()
        first.ended()
    with connected(api) as second:
        eventually(lambda: queues(api)["flow"].workers == [second.worker_id])
        api.resume("t")
        turn = second.turn()
        assert (turn.run_id, turn.after_seq) == ("r", 0)


def test_a_run_goes_to_the_version_that_has_begun_it(api: Api) -> None:
    with connected(api, {"flow": "v1"}, max_turns=1) as old:
        for run_id in ("r", "s"):
            start(api, run_id)
            put_aside(old, f"for-{run_id}", version="v1")
        with connected(api, {"flow": "v2"}) as new:
            api.resume("for-s")
            busy = old.turn()
            assert busy.run_id == "s"
            # The old one has no room. The run waits for it all the same.
            api.resume("for-r")
            fresh = start(api)
            assert new.turn().run_id == fresh
            leased(api, "flow", 2)
            assert queues(api)["flow"].length == 3
            assert not new.has_turns()
            old.complete_turn(busy, complete())
            assert old.turn().run_id == "r"


def test_a_version_that_is_gone_is_waited_for_and_then_is_not(api: Api) -> None:
    start(api, "old")
    with connected(api, {"flow": "v1"}) as old:
        put_aside(old, "t", version="v1")
        old.disconnect()
        old.ended()
    with connected(api, {"flow": "v2"}) as new:
        api.resume("t")
        fresh = start(api)
        # What nobody has begun is for all.
        assert new.turn().run_id == fresh
        assert not new.has_turns()
        with connected(api, {"flow": "v1"}) as again:
            assert again.turn().run_id == "old"
            again.disconnect()
        # It is gone for good now: after a while any worker has to do.
        assert new.turn().run_id == "old"


def test_two_versions_at_once_are_told_to_the_operator(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        api = Api(daemon.channel(), "p")
        with connected(api, {"flow": "v1"}), connected(api, {"flow": "v2"}):
            lines = eventually(lambda: warnings(daemon))
        (line,) = lines
        assert (line["workflow"], line["versions"]) == ("flow", ["v1", "v2"])


def warnings(daemon: Daemon) -> list[dict[str, object]]:
    """The warnings about versions in a daemon's log."""
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    return [line for line in lines if "different versions" in line["event"]]
